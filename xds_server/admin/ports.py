"""Interfaces that the Admin service needs from other parts of the control plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline_proto.admin.v1 import admin_pb2 as admin_pb
from trunkline_proto.node.v1 import registry_pb2 as node_pb

from xds_server.client_status import ClientStatus, Propagation, RefusedPeer, Rejection
from xds_server.reasons import Reason
from xds_server.usage.scope import Within


class Publisher(Protocol):
    """Brings a changed state to the clients."""

    async def state_changed(self, revision: int) -> None:
        """Announces that the store is at `revision` or later."""
        ...


class Clients(Protocol):
    """Knows which clients are connected, and what became of pushed content."""

    async def wait_settled(self, revision: int, timeout: float) -> Propagation:
        """Waits until every client connected now accepted or refused `revision`, at most `timeout` seconds."""
        ...

    def clients(self) -> tuple[ClientStatus, ...]:
        """Returns the connected clients, and the last state of those that have left."""

    def recent_rejections(self) -> tuple[Rejection, ...]:
        """Returns rejections, newest first."""
        ...

    def refused_peers(self) -> tuple[RefusedPeer, ...]:
        """Returns refused peers, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The address at which nodes join, `https://host:port`, and the SHA-256 of the CA that they pin, in hex."""

    url: str
    fingerprint: str


class ListenerCertificate(Protocol):
    """The certificate of the clients' and the admin listener."""

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the DNS names and addresses that the certificate is valid for."""

    @property
    def expires_at(self) -> int:
        """Returns Unix seconds."""
        ...

    @property
    def problem(self) -> Reason:
        """Returns what an operator has to fix; empty if nothing."""
        ...


class LiveNode(Protocol):
    """The reported state of a node, in addition to its desired state."""

    @property
    def state(self) -> str:
        """Returns the state, as in trunkline.admin.v1.Node."""
        ...

    @property
    def state_reason(self) -> Reason:
        """Returns why the node is in this state; empty if that needs no reason."""

    @property
    def last_seen(self) -> int:
        """Returns Unix seconds; 0: never."""
        ...

    @property
    def facts(self) -> node_pb.NodeFacts:
        """Returns what the machine is, as last reported."""

    @property
    def offers(self) -> Sequence[node_pb.Offer]:
        """Returns the models that the node offers."""

    @property
    def load(self) -> node_pb.Load:
        """Returns the load of the node, as last reported."""


class LiveNodes(Protocol):
    """Knows which nodes report at the moment."""

    def describe(self, node_id: str) -> LiveNode | None:
        """Returns the live state of a node; None for a node that has not reported."""
        ...


class NoLiveNodes:
    """Stands in on a control plane that nodes cannot reach."""

    def describe(self, node_id: str) -> LiveNode | None:  # the same for all nodes
        """Returns None for every node."""
        return None


class RunningRequests(Protocol):
    """The requests of all translators that are connected here."""

    async def listed(
        self,
        wanted: admin_pb.RequestFilter,
        state: admin_pb.RequestState.ValueType,
        limit: int,
        within: Within | None = None,
    ) -> admin_pb.ListRequestsResponse:
        """Lists at most `limit` requests that match the filter and state, of those that the caller may see
        (`within`).
        """

    async def find(self, id_prefix: str, within: Within | None = None) -> admin_pb.RunningRequest | None:
        """Finds a request. Raises InvalidFieldError if several ids begin with `id_prefix`."""
        ...

    async def cancel(self, request_id: str) -> admin_pb.RunningRequest | None:
        """Cancels a request and returns it; None if there is none with this id."""
        ...


class Resting(Protocol):
    """Lists the resting targets and credentials at the gateways of all translators that are connected here."""

    async def headroom(self, provider: str) -> admin_pb.ListQuotasResponse:
        """Returns the remainder of each quota of a provider, or of all providers if the name is empty."""
        ...

    async def alerts(self) -> Sequence[admin_pb.RestAlert]:
        """Lists what an operator should know: refused credentials, exhausted quotas and resting targets."""


class NoTranslators:
    """Stands in on a control plane without translators."""

    async def headroom(self, provider: str) -> admin_pb.ListQuotasResponse:
        """Returns no quotas."""
        return admin_pb.ListQuotasResponse()

    async def alerts(self) -> Sequence[admin_pb.RestAlert]:
        """Returns no alerts."""
        return ()

    async def listed(
        self,
        wanted: admin_pb.RequestFilter,
        state: admin_pb.RequestState.ValueType,
        limit: int,
        within: Within | None = None,
    ) -> admin_pb.ListRequestsResponse:
        """Returns no requests."""
        return admin_pb.ListRequestsResponse()

    async def find(self, id_prefix: str, within: Within | None = None) -> admin_pb.RunningRequest | None:
        """Finds no request."""
        return None

    async def cancel(self, request_id: str) -> admin_pb.RunningRequest | None:
        """Cancels nothing."""
        return None
