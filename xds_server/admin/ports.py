"""What the Admin service needs from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline_proto.admin.v1 import admin_pb2 as admin_pb
from trunkline_proto.node.v1 import registry_pb2 as node_pb

from xds_server.clients import ClientStatus, Propagation, RefusedPeer, Rejection
from xds_server.reasons import Reason


class Publisher(Protocol):
    """Brings a changed state to the clients."""

    async def state_changed(self, revision: int) -> None:
        """The store is at `revision`, or past it."""
        ...


class Clients(Protocol):
    """Who is connected, and what became of what was pushed."""

    async def wait_settled(self, revision: int, timeout: float) -> Propagation:
        """Until every client connected now took or refused `revision`; at most `timeout` seconds."""
        ...

    def clients(self) -> tuple[ClientStatus, ...]: ...

    def recent_rejections(self) -> tuple[Rejection, ...]:
        """Newest first."""
        ...

    def refused_peers(self) -> tuple[RefusedPeer, ...]:
        """Newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Where nodes join: `https://host:port` as they reach it, and the SHA-256 of the CA that they pin, hex."""

    url: str
    fingerprint: str


class ListenerCertificate(Protocol):
    """The certificate of the clients' and the admin listener."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def expires_at(self) -> int:
        """Unix seconds."""
        ...

    @property
    def problem(self) -> str:
        """What an operator has to mend; empty if nothing."""
        ...


class LiveNode(Protocol):
    """What a node reports, beside what is decided about it."""

    @property
    def state(self) -> str:
        """As in trunkline.admin.v1.Node."""
        ...

    @property
    def state_reason(self) -> Reason: ...

    @property
    def last_seen(self) -> int:
        """Unix seconds; 0 = never."""
        ...

    @property
    def facts(self) -> node_pb.NodeFacts: ...

    @property
    def offers(self) -> Sequence[node_pb.Offer]: ...

    @property
    def load(self) -> node_pb.Load: ...


class LiveNodes(Protocol):
    """Who reports at the moment."""

    def describe(self, node_id: str) -> LiveNode | None:
        """None for a node that has not reported."""
        ...


class NoLiveNodes:
    """For a control plane that nodes cannot reach."""

    def describe(self, node_id: str) -> LiveNode | None:  # it is the same for all
        return None


class RunningRequests(Protocol):
    """The requests of all translators that are connected here."""

    async def listed(
        self, wanted: admin_pb.RequestFilter, state: admin_pb.RequestState.ValueType, limit: int
    ) -> admin_pb.ListRequestsResponse: ...

    async def find(self, id_prefix: str) -> admin_pb.RunningRequest | None:
        """Raises InvalidFieldError where several ids begin so."""
        ...

    async def cancel(self, request_id: str) -> admin_pb.RunningRequest | None:
        """Ends one and returns what it was; None where there is none."""
        ...


class Resting(Protocol):
    """What rests at the gateways of all translators that are connected here."""

    async def headroom(self, provider: str) -> admin_pb.ListQuotasResponse:
        """Returns what is left of each quota of a provider; of all where the name is empty."""
        ...

    async def alerts(self) -> Sequence[admin_pb.RestAlert]: ...


class NoTranslators:
    """For a control plane without translators."""

    async def headroom(self, provider: str) -> admin_pb.ListQuotasResponse:
        return admin_pb.ListQuotasResponse()

    async def alerts(self) -> Sequence[admin_pb.RestAlert]:
        return ()

    async def listed(
        self, wanted: admin_pb.RequestFilter, state: admin_pb.RequestState.ValueType, limit: int
    ) -> admin_pb.ListRequestsResponse:
        return admin_pb.ListRequestsResponse()

    async def find(self, id_prefix: str) -> admin_pb.RunningRequest | None:
        return None

    async def cancel(self, request_id: str) -> admin_pb.RunningRequest | None:
        return None
