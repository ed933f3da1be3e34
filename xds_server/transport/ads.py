"""ADS over grpc.aio: streams of the protocol core, fed with snapshots, written with back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, TypeVar

import grpc
import grpc.aio
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.clients import ClientRegistry
from xds_server.protocol.changes import changes_between
from xds_server.protocol.delta import DeltaStream
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.errors import ProtocolError
from xds_server.protocol.push import Push
from xds_server.protocol.snapshot import Snapshot
from xds_server.protocol.sotw import SotwStream
from xds_server.transport.authorise import WHAT_IS_NEEDED, Authorise, anyone
from xds_server.transport.debounce import Debounce

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"

#: The largest message that anybody may send to the server, which ADS and Admin share. A reconnecting client lists
#: every name and version that it holds: 3.3 MiB for 100,000 API keys, 15.6 MiB for 100,000 names of 140 bytes. A
#: document with 10,000 keys takes about 2 MiB.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

#: For `grpc.aio.server(options=…)`. Without the first, Envoy's keepalive is answered with `too_many_pings`.
SERVER_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
)

_Request = TypeVar("_Request", discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DiscoveryRequest)
_Context = grpc.aio.ServicerContext[Any, bytes]


class _Connection:
    """One stream and its outgoing queue, which the core bounds: one unanswered push per type."""

    def __init__(self, stream: DeltaStream | SotwStream) -> None:
        self.stream = stream
        self._outgoing: asyncio.Queue[Push] = asyncio.Queue()

    def send(self, pushes: list[Push]) -> None:
        for push in pushes:
            self._outgoing.put_nowait(push)

    async def write_to(self, context: _Context) -> None:
        """Writes until cancelled or the client is gone; a slow client holds up only itself."""
        # InternalError is what a write to a cancelled call raises; the reader learns of the end by itself.
        with suppress(grpc.aio.InternalError):
            while True:
                push = await self._outgoing.get()
                await context.write(push.payload)


class AdsServer:
    """The aggregated discovery service. `publish` is safe to call from the event loop only.

    `clients` learns of every stream and of its progress. `authorise` is asked once per stream.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        clients: ClientRegistry,
        *,
        authorise: Authorise = anyone,
        quiet: float = 0.020,
        longest: float = 0.200,
    ) -> None:
        self._snapshot = snapshot
        self._next = snapshot
        self._clients = clients
        self._authorise = authorise
        self._debounce = Debounce(self._apply, quiet=quiet, longest=longest)
        self._encoder = ResponseEncoder()
        self._connections: set[_Connection] = set()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """For `grpc.aio.Server.add_generic_rpc_handlers`."""
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
    def snapshot(self) -> Snapshot:
        """What clients are being brought to now, without what is still being merged."""
        return self._snapshot

    def publish(self, snapshot: Snapshot) -> None:
        """Make `snapshot` the desired content. Snapshots published in quick succession are merged."""
        self._next = snapshot
        self._debounce.trigger()

    def close(self) -> None:
        """Stop pushing. Streams end when the gRPC server stops (with a short grace: they never end themselves)."""
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
        stream = DeltaStream(self._snapshot, self._encoder)
        await self._serve(stream, stream.on_request, requests, context)

    async def _sotw(self, requests: AsyncIterator[discovery_pb2.DiscoveryRequest], context: _Context) -> None:
        stream = SotwStream(self._snapshot, self._encoder)
        await self._serve(stream, stream.on_request, requests, context)

    async def _serve(
        self,
        stream: DeltaStream | SotwStream,
        on_request: Callable[[_Request], list[Push]],
        requests: AsyncIterator[_Request],
        context: _Context,
    ) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        if not self._authorise(metadata, context.peer()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, WHAT_IS_NEEDED)
        connection = _Connection(stream)
        self._connections.add(connection)
        broken: ProtocolError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                writer = tasks.create_task(connection.write_to(context), name="ads-writer")
                try:
                    async for request in requests:
                        connection.send(on_request(request))
                        self._clients.observe(stream)
                except ProtocolError as error:
                    broken = error
                writer.cancel()
        finally:
            self._connections.discard(connection)
            self._clients.disconnected(stream)
        if broken is not None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(broken))
