"""Connects a test case to a server: the core in this process, or the same core over real gRPC."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping

import grpc.aio
import pytest
from trunkline_proto.xds.v1 import discovery_pb2

from xds_server.clients import ClientRegistry
from xds_server.protocol.changes import changes_between
from xds_server.protocol.delta import DeltaStream
from xds_server.protocol.encoding import ResponseEncoder
from xds_server.protocol.errors import ProtocolError
from xds_server.protocol.push import Push
from xds_server.protocol.returning import ReturningClients
from xds_server.protocol.snapshot import Resource, ResourceSnapshot
from xds_server.protocol.sotw import SotwStream
from xds_server.transport.ads import SERVER_OPTIONS, SERVICE, AdsServer

Request = discovery_pb2.DeltaDiscoveryRequest | discovery_pb2.DiscoveryRequest
Response = discovery_pb2.DeltaDiscoveryResponse | discovery_pb2.DiscoveryResponse
RESPONSES: Mapping[str, type[Response]] = {
    "delta": discovery_pb2.DeltaDiscoveryResponse,
    "sotw": discovery_pb2.DiscoveryResponse,
}
Content = Mapping[str, Mapping[str, str]]


def snapshot_of(revision: int, content: Content) -> ResourceSnapshot:
    """Returns a snapshot of type → name → content. Bodies name their resource, because a SotW
    response does not.
    """
    return ResourceSnapshot(
        revision,
        {
            type_url: {
                name: Resource.of(type_url, name, f"{name}={text}".encode()) for name, text in names.items()
            }
            for type_url, names in content.items()
        },
    )


def requested(stream: DeltaStream | SotwStream, request: Request) -> list[Push]:
    """Passes a request of its variant to the stream."""
    if isinstance(stream, DeltaStream):
        assert isinstance(request, discovery_pb2.DeltaDiscoveryRequest)
        return stream.on_request(request)
    assert isinstance(request, discovery_pb2.DiscoveryRequest)
    return stream.on_request(request)


class Session(ABC):
    """A stream."""

    @abstractmethod
    async def send(self, request: Request) -> None: ...

    @abstractmethod
    async def receive(self) -> Response: ...

    @abstractmethod
    async def refusal(self, request: Request) -> str:
        """Returns the reason for which `request` ends the stream, as an invalid argument."""

    @abstractmethod
    async def close(self) -> None: ...


class Server(ABC):
    """A server with some content."""

    def __init__(self) -> None:
        self.revision = 0

    @abstractmethod
    async def publish(self, content: Content) -> None:
        """Publishes the content; returns when every stream has been informed."""

    @abstractmethod
    async def connect(self, mode: str) -> Session: ...

    @abstractmethod
    async def restart(self) -> None:
        """Restarts the server: the new process would have the content, but know no clients."""

    @abstractmethod
    async def close(self) -> None: ...


class CoreServer(Server):
    def __init__(self) -> None:
        super().__init__()
        self.snapshot = ResourceSnapshot(0)
        self.encoder = ResponseEncoder()
        self.sessions: list[CoreSession] = []
        self.returning = ReturningClients()

    async def publish(self, content: Content) -> None:
        self.revision += 1
        before, self.snapshot = self.snapshot, snapshot_of(self.revision, content)
        changes = changes_between(before, self.snapshot)
        for session in self.sessions:
            session.incoming += [push.payload for push in session.stream.on_snapshot(self.snapshot, changes)]

    async def connect(self, mode: str) -> Session:
        session = CoreSession(self, mode)
        self.sessions.append(session)
        return session

    async def restart(self) -> None:
        self.encoder = ResponseEncoder()
        self.returning = ReturningClients()
        self.sessions.clear()

    async def close(self) -> None:
        self.sessions.clear()


class CoreSession(Session):
    def __init__(self, server: CoreServer, mode: str) -> None:
        self.server = server
        self.stream = (
            DeltaStream(server.snapshot, server.encoder)
            if mode == "delta"
            else SotwStream(server.snapshot, server.encoder, returning=server.returning)
        )
        self.parse = RESPONSES[mode].FromString
        self.incoming: deque[bytes] = deque()

    async def send(self, request: Request) -> None:
        self.incoming += [push.payload for push in requested(self.stream, request)]

    async def receive(self) -> Response:
        assert self.incoming, "the server had nothing to say"
        return self.parse(self.incoming.popleft())

    async def refusal(self, request: Request) -> str:
        with pytest.raises(ProtocolError) as refused:
            requested(self.stream, request)
        return str(refused.value)

    async def close(self) -> None:
        if self in self.server.sessions:
            self.server.sessions.remove(self)


class GrpcServer(Server):
    def __init__(self) -> None:
        super().__init__()
        self.snapshot = ResourceSnapshot(0)
        self.channels: list[grpc.aio.Channel] = []

    async def start(self) -> None:
        self.clients = ClientRegistry()
        self.ads = AdsServer(self.snapshot, self.clients, quiet=0)
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        self.server.add_generic_rpc_handlers((self.ads.handler(),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()

    async def publish(self, content: Content) -> None:
        self.revision += 1
        self.snapshot = snapshot_of(self.revision, content)
        self.ads.publish(self.snapshot)
        while self.ads.snapshot is not self.snapshot:
            await asyncio.sleep(0)

    async def connect(self, mode: str) -> Session:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        self.channels.append(channel)
        return GrpcSession(channel, mode)

    async def restart(self) -> None:
        await self._stop()
        await self.start()

    async def close(self) -> None:
        await self._stop()

    async def _stop(self) -> None:
        self.ads.close()
        for channel in self.channels:
            await channel.close(None)
        self.channels.clear()
        await self.server.stop(0.1)


class GrpcSession(Session):
    def __init__(self, channel: grpc.aio.Channel, mode: str) -> None:
        method = {"delta": "DeltaAggregatedResources", "sotw": "StreamAggregatedResources"}[mode]
        self.call: grpc.aio.StreamStreamCall[Request, Response] = channel.stream_stream(
            f"/{SERVICE}/{method}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=RESPONSES[mode].FromString,
        )(None)

    async def send(self, request: Request) -> None:
        await self.call.write(request)

    async def receive(self) -> Response:
        async with asyncio.timeout(60):
            response = await self.call.read()
        assert isinstance(response, Response), "the server ended the stream"
        return response

    async def refusal(self, request: Request) -> str:
        await self.call.write(request)
        async with asyncio.timeout(60):
            assert await self.call.code() is grpc.StatusCode.INVALID_ARGUMENT
        return await self.call.details()

    async def close(self) -> None:
        self.call.cancel()
