"""Fixtures: the Admin service over a real gRPC server, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from trunkline_proto.admin.v1 import admin_pb2_grpc
from trunkline_proto.node.v1 import registry_pb2 as node_pb

from tests.xds_server.store.databases import database, key_file, ledger, open_store, store
from xds_server.admin import AdminService, TokenInterceptor
from xds_server.admin.ports import Tunnel
from xds_server.client_status import ClientStatus, Propagation, RefusedPeer, Rejection, TypeStatus
from xds_server.ledger.reader import LedgerReader
from xds_server.reasons import Reason
from xds_server.store import AsyncStore, Store
from xds_server.transport.ads import SERVER_OPTIONS

__all__ = ["database", "key_file", "ledger", "open_store", "store"]

TOKEN = "admin-token-of-the-tests-0123456789"
TUNNEL = Tunnel("https://gateway.example.com:8443", "ab" * 32)
REJECTION = Rejection("envoy-a", "type.googleapis.com/x", ("chain:1",), "bad weight", 1, 1_700_000_000.5)


@dataclass
class Clients:
    """Stands in for the xDS side, with one Envoy that refuses everything and one translator that accepts
    everything.
    """

    published: list[int] = field(default_factory=list)
    waited: list[tuple[int, float]] = field(default_factory=list)

    async def state_changed(self, revision: int) -> None:
        self.published.append(revision)

    async def wait_settled(self, revision: int, timeout: float) -> Propagation:
        self.waited.append((revision, timeout))
        return Propagation(revision, False, 1, (REJECTION,), ("envoy-b",))

    def clients(self) -> tuple[ClientStatus, ...]:
        types = (TypeStatus("type.googleapis.com/x", 3, True, 5, 1, REJECTION, 12),)
        return (ClientStatus("envoy-a", "envoy", "envoy/1.40", True, 1_700_000_000.9, types),)

    def refused_peers(self) -> tuple[RefusedPeer, ...]:
        return (RefusedPeer("ipv4:10.0.0.9", "no valid token", 3, 1_800_000_000.0),)

    def recent_rejections(self) -> tuple[Rejection, ...]:
        return (REJECTION,)


@dataclass(frozen=True)
class Live:
    """A node's report."""

    state: str = "online"
    state_reason: Reason = field(default_factory=lambda: Reason.quoted("all is well"))
    last_seen: int = 1_700_000_000
    facts: node_pb.NodeFacts = field(default_factory=lambda: node_pb.NodeFacts(sidecar_version="1.2.3"))
    offers: Sequence[node_pb.Offer] = (node_pb.Offer(model="llama3", healthy=True),)
    load: node_pb.Load = field(default_factory=lambda: node_pb.Load(in_flight=3))


@dataclass
class Nodes:
    """Stands in for the registry: the reporting nodes, by id."""

    reporting: dict[str, Live] = field(default_factory=dict)

    def describe(self, node_id: str) -> Live | None:
        return self.reporting.get(node_id)


@dataclass
class Admin:
    """A client of the service; `calls` makes stubs with other metadata."""

    stub: Any
    address: str
    clients: Clients
    store: Store
    nodes: Nodes


@pytest.fixture
async def admin(store: Store) -> AsyncIterator[Admin]:
    clients = Clients()
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(TOKEN)],
        options=SERVER_OPTIONS,
    )
    ledger = LedgerReader(store.url)
    nodes = Nodes()
    service = AdminService(AsyncStore(store), clients, clients, ledger, tunnel=TUNNEL, live=nodes)
    admin_pb2_grpc.add_AdminServicer_to_server(service, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        yield Admin(Authorised(admin_pb2_grpc.AdminStub(channel)), address, clients, store, nodes)
    await server.stop(None)
    ledger.close()


class Authorised:
    """A stub whose calls carry the admin token."""

    def __init__(self, stub: Any, **metadata: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {TOKEN}"), *metadata.items())

    def acting_for(self, actor: str) -> Authorised:
        return Authorised(self._stub, **{"x-trunkline-actor": actor})

    def taking_over(self) -> Authorised:
        return Authorised(self._stub, **{"x-trunkline-take-over": "true"})

    def __getattr__(self, method: str) -> Callable[[Any], Awaitable[Any]]:
        return lambda request: getattr(self._stub, method)(request, metadata=self._metadata)
