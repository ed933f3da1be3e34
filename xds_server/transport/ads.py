"""Serves ADS over grpc.aio: feeds snapshots to streams of the protocol core and writes with back-pressure."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, TypeVar

import grpc
import grpc.aio
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.clients import ClientRegistry
from xds_server.debounce import Debounce
from xds_server.protocol.changes import changes_between
from xds_server.protocol.delta import DeltaStream
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.errors import ProtocolError
from xds_server.protocol.push import Push
from xds_server.protocol.returning import ReturningClients
from xds_server.protocol.snapshot import ResourceSnapshot
from xds_server.protocol.sotw import SotwStream
from xds_server.reasons import NOTHING, Reason
from xds_server.rpc.authorise import WHAT_IS_NEEDED, Authorise, anyone
from xds_server.transport.response_buffers import ResponseBuffers
from xds_server.transport.work_budget import WorkBudget

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"

#: The largest message that a client may send to the server; ADS and Admin share the limit. A reconnecting client
#: lists every name and version that it holds: 3.3 MiB for 100,000 API keys, 15.6 MiB for 100,000 names of 140
#: bytes. A document with 10,000 keys takes about 2 MiB.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

#: Options for `grpc.aio.server(options=…)`. Without the first, Envoy's keepalive is answered with
#: `too_many_pings`.
SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
)

#: Streams that may be open: in all, of one peer (an IP address, or a Unix socket), and of one client id. A client
#: that reconnects leaves some old streams behind.
MAX_STREAMS, MAX_PEER_STREAMS, MAX_CLIENT_STREAMS = 4_096, 1_024, 16
#: Seconds that a client has to read a MiB of a response, or less, before it is given up. Links may be slow.
PATIENCE = 30.0
_MIB = 1024 * 1024
_SECRET_BYTES = 16

_Request = TypeVar("_Request", discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DiscoveryRequest)
_Context = grpc.aio.ServicerContext[Any, bytes]


class _StuckError(Exception):
    """The client did not read a response in time."""


class _CrowdedError(Exception):
    """Raised if one client has too many streams."""


class _Connection:
    """One stream and its outgoing queue, which the core bounds: one unanswered push per type."""

    def __init__(self, stream: DeltaStream | SotwStream, peer: str, address: str) -> None:
        self.stream = stream
        #: The part that all connections of a machine share, and the address of this one.
        self.peer, self.address = peer, address
        #: Why the client was given up; empty as long as it reads.
        self.stuck: Reason = NOTHING
        self._outgoing: asyncio.Queue[Push] = asyncio.Queue()

    def send(self, pushes: list[Push]) -> None:
        for push in pushes:
            self._outgoing.put_nowait(push)

    async def write_to(
        self, context: _Context, buffers: ResponseBuffers, patience: float, give_up: Callable[[_Connection], None]
    ) -> None:
        """Writes until cancelled or the client is gone; a slow client delays only itself.

        Calls `give_up` for a client that does not read a response within `patience` seconds for each MiB. gRPC
        cannot take the response back, so _StuckError is raised only once the client has read it after all.
        """
        # A write to a cancelled call raises InternalError; the reader learns of the end by itself.
        with suppress(grpc.aio.InternalError):
            while not self.stuck:
                push = await self._outgoing.get()
                seconds = patience * max(1.0, push.size / _MIB)
                async with buffers.reserved(self.peer, push.size, answers=self.stream.answers):
                    writing = asyncio.ensure_future(context.write(push.payload))
                    try:
                        done, _ = await asyncio.wait({writing}, timeout=seconds)
                        if not done:
                            self.stuck = Reason.of(
                                "client.stuck", f"{push.size:,}", _short(push.type_url), f"{seconds:.0f}"
                            )
                            self._outgoing = asyncio.Queue()
                            give_up(self)
                        await writing
                    finally:
                        writing.cancel()
            raise _StuckError


class AdsServer:
    """Serves the aggregated discovery service. `publish` may be called only from the event loop.

    `clients` learns of every stream and of its progress. `authorise` is called once per stream.
    """

    def __init__(
        self,
        snapshot: ResourceSnapshot,
        clients: ClientRegistry,
        *,
        authorise: Authorise = anyone,
        quiet: float = 0.020,
        longest: float = 0.200,
        patience: float = PATIENCE,
    ) -> None:
        self._snapshot = snapshot
        self._next = snapshot
        self._clients = clients
        self._authorise = authorise
        self._debounce = Debounce(self._apply, quiet=quiet, longest=longest)
        self._encoder = ResponseEncoder()
        self._returning = ReturningClients()
        self._patience = patience
        self._buffers = ResponseBuffers()
        self._connections: set[_Connection] = set()
        # Includes the streams that were given up, until they end.
        self._open: Counter[str] = Counter()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Returns the handler for `grpc.aio.Server.add_generic_rpc_handlers`."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._delta,
                    request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
                    response_serializer=None,
                ),
                "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._sotw,
                    request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
                    response_serializer=None,
                ),
            },
        )

    @property
    def snapshot(self) -> ResourceSnapshot:
        """Returns the content that clients are being brought to now, without what is still being merged."""
        return self._snapshot

    def publish(self, snapshot: ResourceSnapshot) -> None:
        """Makes `snapshot` the desired content. Snapshots published in quick succession are merged."""
        self._next = snapshot
        self._debounce.trigger()

    def close(self) -> None:
        """Stops pushing. Streams end when the gRPC server stops; stop it with a short grace, because they never
        end by themselves.
        """
        self._debounce.cancel()

    def _apply(self) -> None:
        before, self._snapshot = self._snapshot, self._next
        changes = changes_between(before, self._snapshot)
        for connection in tuple(self._connections):
            connection.send(connection.stream.on_snapshot(self._snapshot, changes))
            self._clients.observe(connection.stream)

    async def _delta(
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], context: _Context
    ) -> None:
        stream = DeltaStream(self._snapshot, self._encoder, secret=secrets.token_bytes(_SECRET_BYTES))
        await self._serve(stream, stream.on_request, requests, context)

    async def _sotw(self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest], context: _Context) -> None:
        secret = secrets.token_bytes(_SECRET_BYTES)
        stream = SotwStream(self._snapshot, self._encoder, secret=secret, returning=self._returning)
        await self._serve(stream, stream.on_request, requests, context)

    async def _serve(
        self,
        stream: DeltaStream | SotwStream,
        on_request: Callable[[_Request], list[Push]],
        requests: AsyncIterator[_Request],
        context: _Context,
    ) -> None:
        peer = _host(context.peer())
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            self._clients.refused(peer, "no valid token")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, WHAT_IS_NEEDED)
        if self._open[peer] >= MAX_PEER_STREAMS or self._open.total() >= MAX_STREAMS:
            self._clients.refused(peer, "too many streams")
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"too many ADS streams; accepted: {MAX_PEER_STREAMS:,} from one address, {MAX_STREAMS:,} in all",
            )
        self._open[peer] += 1
        connection = _Connection(stream, peer, context.peer())
        self._connections.add(connection)
        broken: tuple[grpc.StatusCode, str] | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = connection.write_to(context, self._buffers, self._patience, self._give_up)
                writer = tasks.create_task(writing, name="ads-writer")
                try:
                    await self._read(connection, on_request, requests)
                except ProtocolError as error:
                    broken = grpc.StatusCode.INVALID_ARGUMENT, str(error)
                except _CrowdedError as error:
                    broken = grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)
                writer.cancel()
        except* _StuckError:
            broken = grpc.StatusCode.DEADLINE_EXCEEDED, str(connection.stuck)  # gRPC takes no subclass of str
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]
            self._connections.discard(connection)
            self._clients.disconnected(stream)
        if broken is not None:
            if broken[0] is not grpc.StatusCode.DEADLINE_EXCEEDED:
                self._clients.refused(peer, broken[1])
            await context.abort(*broken)

    async def _read(
        self,
        connection: _Connection,
        on_request: Callable[[_Request], list[Push]],
        requests: AsyncIterator[_Request],
    ) -> None:
        """Takes requests until the client ends them. Raises ProtocolError, _CrowdedError."""
        stream, budget = connection.stream, WorkBudget()
        async for request in requests:
            if connection.stuck:
                continue
            began = time.thread_time()
            introduced = stream.node is not None
            connection.send(on_request(request))
            if stream.node is not None and not introduced:
                self._require_room(stream.node.id)
            self._clients.observe(stream, connection.address)
            wait = budget.spend(time.thread_time() - began, time.monotonic())
            if wait:
                await asyncio.sleep(wait)

    def _require_room(self, client_id: str) -> None:
        """Raises _CrowdedError if the client has too many streams, including the new one."""
        same = sum(1 for each in self._connections if each.stream.node and each.stream.node.id == client_id)
        if same > MAX_CLIENT_STREAMS:
            raise _CrowdedError(
                f"{client_id} has {MAX_CLIENT_STREAMS} streams open; give every client an id of its own"
            )

    def _give_up(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._clients.disconnected(connection.stream, problem=connection.stuck)


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]


def _host(peer: str) -> str:
    """Returns what all connections of a peer share: `ipv4:10.0.0.5` for gRPC's `ipv4:10.0.0.5:4711`, `unix` for
    sockets.
    """
    kind, _, rest = peer.partition(":")
    return f"{kind}:{rest.rpartition(':')[0]}" if kind in {"ipv4", "ipv6"} else kind
