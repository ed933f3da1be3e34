"""A small control plane: real delta ADS over gRPC, with versions that survive its own restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import grpc
import grpc.aio
from trunkline_proto.policy.v1 import policy_pb2 as policy
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from tests.translator.policies import resource
from translator.policy.ads import METHOD
from translator.policy.store import type_url

Message = policy.Organisation | policy.Key | policy.Route


class ControlPlane:
    """Sends the changes of `put` and `remove` to every stream; keeps every request in `requests`."""

    def __init__(self, address: str, *messages: Message) -> None:
        self._address = address
        self._resources: dict[str, dict[str, discovery.Resource]] = {}
        self._revision = 0
        self._changed: set[asyncio.Event] = set()
        self._server: grpc.aio.Server | None = None
        self.requests: asyncio.Queue[discovery.DeltaDiscoveryRequest] = asyncio.Queue()
        self.tokens: list[str] = []
        self.put(*messages)

    async def __aenter__(self) -> ControlPlane:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def put(self, *messages: Message) -> None:
        self._revision += 1
        for message in messages:
            held = self._resources.setdefault(type_url(type(message)), {})
            held[message.id] = resource(message, str(self._revision))
        self._tell()

    def put_raw(self, url: str, sent: discovery.Resource) -> None:
        self._resources.setdefault(url, {})[sent.name] = sent
        self._tell()

    def remove(self, message: Message) -> None:
        del self._resources[type_url(type(message))][message.id]
        self._tell()

    async def start(self) -> None:
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve,
            request_deserializer=discovery.DeltaDiscoveryRequest.FromString,
            response_serializer=discovery.DeltaDiscoveryResponse.SerializeToString,
        )
        service, _, method = METHOD[1:].rpartition("/")
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        self._server.add_insecure_port(self._address)
        await self._server.start()

    async def stop(self) -> None:
        """Stops at once, as if killed."""
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def next_request(self) -> discovery.DeltaDiscoveryRequest:
        return await asyncio.wait_for(self.requests.get(), 60)

    def _tell(self) -> None:
        for event in self._changed:
            event.set()

    async def _serve(
        self,
        requests: AsyncIterator[discovery.DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse],
    ) -> None:
        metadata: Mapping[str, str | bytes] = dict(context.invocation_metadata() or ())
        self.tokens.append(str(metadata.get("authorization", "")))
        held: dict[str, dict[str, str]] = {}
        answered: set[str] = set()
        changed = asyncio.Event()
        self._changed.add(changed)

        async def read() -> None:
            async for request in requests:
                self.requests.put_nowait(request)
                if not request.response_nonce:
                    held[request.type_url] = dict(request.initial_resource_versions)
                    changed.set()

        reading = asyncio.create_task(read())
        try:
            while True:
                await changed.wait()
                changed.clear()
                for url, theirs in list(held.items()):  # a write lets `read` in
                    ours = self._resources.get(url, {})
                    new = [each for name, each in ours.items() if theirs.get(name) != each.version]
                    gone = [name for name in theirs if name not in ours]
                    # Like the real one, it tells a client after the last type that it has everything.
                    is_asked = url not in answered and (not theirs or url == type_url(policy.Route))
                    if new or gone or is_asked:
                        await context.write(
                            discovery.DeltaDiscoveryResponse(
                                type_url=url, resources=new, removed_resources=gone, nonce=f"n{self._revision}"
                            )
                        )
                    answered.add(url)
                    theirs.clear()
                    theirs.update({name: each.version for name, each in ours.items()})
        finally:
            self._changed.discard(changed)
            reading.cancel()
