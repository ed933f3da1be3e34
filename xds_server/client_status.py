"""What is known of the clients, as values: what each runs and refused, and how far a revision has got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.reasons import NOTHING, Reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """A NACK of one client; `at` is Unix seconds."""

    client_id: str
    type_url: str
    resource_names: tuple[str, ...]
    reason: str
    revision: int
    at: float


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """The state of one type at one client. `rejection` is set while content is refused; `last_ack_ms` is the time
    from push to ACK.
    """

    type_url: str
    accepted_revision: int
    pending: bool
    acks: int
    nacks: int
    rejection: Rejection | None
    last_ack_ms: int


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """One stream of a client, or a client without a stream; `since` is Unix seconds of its last connect or
    disconnect.

    `peer` is the address of a connected client, as gRPC names it.
    """

    client_id: str
    kind: str
    software: str
    connected: bool
    since: float
    types: tuple[TypeStatus, ...]
    #: The client's misbehaviour: why its last stream was given up, or how many answers it invented. Empty if
    #: nothing.
    problem: Reason = NOTHING
    peer: str = ""


@dataclass(frozen=True, slots=True)
class RefusedPeer:
    """An address whose streams are refused: how often, the last reason, and when (Unix seconds)."""

    peer: str
    reason: str
    count: int
    at: float


@dataclass(frozen=True, slots=True)
class Propagation:
    """The progress of a revision among the clients that were connected when it was requested, or shortly before.

    `complete`: each of them accepted or refused it, or went away for good. `accepted` counts the clients that
    accepted it; `waiting_for` has the ids of those that have not answered.
    """

    revision: int
    complete: bool
    accepted: int
    rejections: tuple[Rejection, ...]
    waiting_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts since the registry was made, the connected streams by their clients' kind, and how many connected
    clients refuse their configuration.
    """

    connected: int
    connects: int
    acks: int
    nacks: int
    by_kind: Mapping[str, int]
    refusing: int
