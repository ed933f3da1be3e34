"""A client that subscribes, accepts and refuses as a test case tells it to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass
from typing import Self, TypedDict

from trunkline_proto.xds.v1 import discovery_pb2

from tests.conformance.driver import Server, Session
from xds_server.protocol.snapshot import POLICY_KEY

NODE = discovery_pb2.Node(id="client-1", cluster="test", user_agent_name="conformance")
# A type that the cases use for nothing else: each probe requests a new name of it, and is answered at once.
PROBE = POLICY_KEY


@dataclass(frozen=True)
class Update:
    """A response of either variant: name → content, names removed, the set's version (SotW)."""

    type_url: str
    nonce: str
    resources: Mapping[str, str]
    versions: Mapping[str, str]
    removed: AbstractSet[str]
    version: str


class Known(TypedDict):
    """The part of an update that a returning client reports; each variant uses its own part."""

    held: Mapping[str, str]
    version: str


class Client(ABC):
    mode: str

    def __init__(self, session: Session) -> None:
        self.session = session
        self.introduced = False
        self.probes = 0

    @classmethod
    async def connect(cls, server: Server) -> Self:
        return cls(await server.connect(cls.mode))

    @abstractmethod
    async def subscribe(
        self, type_url: str, *names: str, held: Mapping[str, str] | None = None, version: str = ""
    ) -> None:
        """Requests more names; no names at all is the legacy wildcard of a first request."""

    @abstractmethod
    async def unsubscribe(self, type_url: str, *names: str) -> None: ...

    @abstractmethod
    async def ack(self, update: Update) -> None: ...

    @abstractmethod
    async def nack(self, update: Update, reason: str = "no") -> None: ...

    async def receive(self, type_url: str) -> Update:
        update = self.parse(await self.session.receive())
        assert update.type_url == type_url
        return update

    async def accept(self, type_url: str) -> Update:
        update = await self.receive(type_url)
        await self.ack(update)
        return update

    async def hears_nothing(self) -> None:
        """Asserts that the server sends nothing: the next response answers a request sent now."""
        self.probes += 1
        await self.subscribe(PROBE, f"probe-{self.probes}")
        update = self.parse(await self.session.receive())
        assert update.type_url == PROBE, f"unexpected: {update}"
        await self.ack(update)

    @staticmethod
    def parse(response: discovery_pb2.DeltaDiscoveryResponse | discovery_pb2.DiscoveryResponse) -> Update:
        if isinstance(response, discovery_pb2.DiscoveryResponse):
            resources = dict(each.value.decode().split("=", 1) for each in response.resources)
            assert len(resources) == len(response.resources), "a name came twice"
            assert all(each.type_url == response.type_url for each in response.resources)
            return Update(response.type_url, response.nonce, resources, {}, frozenset(), response.version_info)
        resources = dict(each.resource.value.decode().split("=", 1) for each in response.resources)
        assert list(resources) == [each.name for each in response.resources]
        versions = {each.name: each.version for each in response.resources}
        removed = frozenset(response.removed_resources)
        return Update(response.type_url, response.nonce, resources, versions, removed, "")

    def node(self) -> discovery_pb2.Node | None:
        introduced, self.introduced = self.introduced, True
        return None if introduced else NODE


class DeltaClient(Client):
    mode = "delta"

    async def subscribe(
        self,
        type_url: str,
        *names: str,
        held: Mapping[str, str] | None = None,
        version: str = "",
        nonce: str = "",
    ) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(
            node=self.node(),
            type_url=type_url,
            resource_names_subscribe=names,
            initial_resource_versions=held or {},
            response_nonce=nonce,
        )
        await self.session.send(request)

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        await self.session.send(
            discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_unsubscribe=names)
        )

    async def ack(self, update: Update) -> None:
        await self.session.send(
            discovery_pb2.DeltaDiscoveryRequest(type_url=update.type_url, response_nonce=update.nonce)
        )

    async def nack(self, update: Update, reason: str = "no") -> None:
        await self.session.send(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=update.type_url,
                response_nonce=update.nonce,
                error_detail=discovery_pb2.Status(code=13, message=reason),
            )
        )


class SotwClient(Client):
    mode = "sotw"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.names: dict[str, list[str]] = {}
        self.versions: dict[str, str] = {}
        self.nonces: dict[str, str] = {}

    async def receive(self, type_url: str) -> Update:
        update = await super().receive(type_url)
        self.nonces[type_url] = update.nonce
        return update

    async def subscribe(
        self, type_url: str, *names: str, held: Mapping[str, str] | None = None, version: str = ""
    ) -> None:
        if version:
            self.versions[type_url] = version
        self.names[type_url] = [*self.names.get(type_url, []), *names]
        await self.request(type_url)

    async def unsubscribe(self, type_url: str, *names: str) -> None:
        self.names[type_url] = [name for name in self.names[type_url] if name not in names]
        await self.request(type_url)

    async def ack(self, update: Update) -> None:
        self.versions[update.type_url] = update.version
        self.nonces[update.type_url] = update.nonce
        await self.request(update.type_url)

    async def nack(self, update: Update, reason: str = "no") -> None:
        self.nonces[update.type_url] = update.nonce
        await self.request(update.type_url, discovery_pb2.Status(code=13, message=reason))

    async def request(self, type_url: str, error: discovery_pb2.Status | None = None) -> None:
        await self.session.send(
            discovery_pb2.DiscoveryRequest(
                node=self.node(),
                type_url=type_url,
                version_info=self.versions.get(type_url, ""),
                resource_names=self.names.get(type_url, []),
                response_nonce=self.nonces.get(type_url, ""),
                error_detail=error,
            )
        )
