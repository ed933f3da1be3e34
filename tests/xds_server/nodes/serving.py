"""A registry over real gRPC, with simulated desired nodes that join, are approved and leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from trunkline_proto.node.v1 import registry_pb2 as pb, registry_pb2_grpc

from tests.xds_server.nodes.reporting import StandingClock, node, state
from xds_server.admin import TokenInterceptor
from xds_server.errors import CsrError, JoinTokenError, NotFoundError
from xds_server.model import DesiredState, Node
from xds_server.nodes.enrolment import Enrolment
from xds_server.nodes.identity import HEADER
from xds_server.nodes.live import LiveNodes
from xds_server.nodes.ports import LiveTables
from xds_server.nodes.registry import NodeRegistry
from xds_server.nodes.service import SERVICE, NodeService
from xds_server.pool import Pool
from xds_server.store import Committed
from xds_server.transport.ads import SERVER_OPTIONS

CSR = b"a certificate request"
OTHER_CSR = b"a certificate request for another key"


class Issuer:
    """Signs CSR and OTHER_CSR."""

    ca_pem = b"the CA"

    def key_hash(self, csr_pem: bytes) -> bytes:
        if csr_pem not in {CSR, OTHER_CSR}:
            raise CsrError("csr_pem: not a certificate request")
        return csr_pem

    def issue(self, node_id: str, csr_pem: bytes) -> bytes:
        self.key_hash(csr_pem)
        return f"certificate of {node_id}".encode()


class Desired:
    """The desired nodes, as store and `writing.nodes` have them; publishes to all followers."""

    def __init__(self) -> None:
        self.state = state()
        self.tokens: set[str] = set()
        self.joined: dict[tuple[str, bytes], Node] = {}
        self.follow: Callable[[DesiredState], Mapping[str, Pool]] = lambda _: {}
        self.pools: dict[str, Pool] = {}
        self.changed = asyncio.Condition()
        self.writes = 0
        self._changes: asyncio.Queue[None] = asyncio.Queue()

    async def load(self) -> DesiredState:
        return self.state

    async def write(self, actor: str, work: Callable[[Any], Any]) -> Committed[Any]:
        self.writes += 1
        before, tokens = self.state, set(self.tokens)
        try:
            value = work(self)
        except Exception:
            self.state, self.tokens = before, tokens
            raise
        events: Any = () if self.state is before else ("an event",)
        return Committed(value, self.state.revision, events)

    def enrol(self, transaction: Any, token: str, proposed_name: str, key_hash: bytes) -> Node:
        if (token, key_hash) in self.joined:
            return self.joined[token, key_hash]
        if token not in self.tokens:
            raise JoinTokenError("this join token is unknown, used or expired")
        self.tokens.discard(token)
        joined = self.joined[token, key_hash] = node(100 + len(self.state.nodes), approved="pending" not in token)
        self.put(joined)
        return joined

    def leave(self, transaction: Any, node_id: str) -> None:
        if node_id not in self.state.nodes:
            raise NotFoundError(f'no node "{node_id}"')
        self.put(*(each for each in self.state.nodes.values() if each.id != node_id), only=True)

    def put(self, *nodes: Node, only: bool = False) -> None:
        """Stores nodes without publishing them."""
        kept = {} if only else self.state.nodes
        self.state = replace(
            self.state, revision=self.state.revision + 1, nodes={**kept, **{each.id: each for each in nodes}}
        )

    async def publish(self, *nodes: Node, only: bool = False) -> None:
        self.put(*nodes, only=only)
        await self.state_changed(self.state.revision)

    async def state_changed(self, revision: int) -> None:
        self.pools_changed(self.follow(self.state))

    def pools_changed(self, pools: Mapping[str, Pool]) -> None:
        self.pools.update(pools)
        self._changes.put_nowait(None)

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Checks after every publication, for at most 120 s."""
        async with asyncio.timeout(120):
            while not wanted():
                await self._changes.get()

    def health(self, node_id: str, pool: str = "nodes/m@org_a") -> str | None:
        held = self.pools.get(pool)
        return next((each.health for each in held.endpoints if each.node_id == node_id), None) if held else None


class Serving:
    """A server on both kinds of socket."""

    def __init__(
        self, desired: Desired, registry: NodeRegistry, clock: StandingClock, unix: str, tcp: str
    ) -> None:
        self.desired = desired
        self.registry = registry
        self.clock = clock
        self.unix = unix
        self.tcp = tcp

    @asynccontextmanager
    async def stub(self, address: str = "") -> AsyncIterator[Any]:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address or self.unix, options=options) as channel:
            yield registry_pb2_grpc.NodeRegistryStub(channel)


def certificate(node_id: str) -> tuple[tuple[str, str], ...]:
    """Returns the metadata that Envoy sets for a node."""
    return ((HEADER, f"Hash={'0a' * 32};DNS={node_id}"),)


@asynccontextmanager
async def serving(directory: Path, tables: LiveTables) -> AsyncIterator[Serving]:
    """Runs a registry whose clock stands still; leases end when `registry.look` is called."""
    desired, clock = Desired(), StandingClock()
    registry = NodeRegistry(LiveNodes(), tables, desired, tunnels=4, clock=clock)
    await registry.restore()
    desired.follow = registry.desired
    enrolment = Enrolment(desired, Issuer(), desired, lambda: desired, clock)
    service = NodeService(registry, enrolment, Issuer(), desired, desired, clock=clock)
    guard = TokenInterceptor("a-token-that-no-node-has", but=[SERVICE])
    server = grpc.aio.server(interceptors=[guard], options=SERVER_OPTIONS)
    registry_pb2_grpc.add_NodeRegistryServicer_to_server(service, server)
    unix = f"unix:{directory}/s"
    server.add_insecure_port(unix)
    tcp = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield Serving(desired, registry, clock, unix, tcp)
    finally:
        await server.stop(None)


async def status(call: Any) -> tuple[grpc.StatusCode, str]:
    """Returns the status of a call after reading all its messages, without which gRPC does not give it."""
    if hasattr(call, "read"):
        with suppress(grpc.aio.AioRpcError):
            while await asyncio.wait_for(call.read(), 60) is not grpc.aio.EOF:  # type: ignore[attr-defined]  # which grpc-stubs lacks
                pass
    return await asyncio.wait_for(call.code(), 60), await call.details() or ""


async def first_instruction(call: Any) -> pb.NodeInstruction:
    instruction = await asyncio.wait_for(call.read(), 60)
    assert isinstance(instruction, pb.NodeInstruction)
    return instruction
