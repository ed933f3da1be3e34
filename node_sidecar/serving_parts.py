"""The interfaces of the parts that serve requests, as `app` needs them: the gate and the ingress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from node_sidecar.preferences.model import Preferences
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.upstreams import Upstreams


class Gate(Protocol):
    """Enforces the node's own limits."""

    @property
    def in_flight(self) -> int:
        """The number of requests that a local server works on."""

    @property
    def queued(self) -> int:
        """The number of requests in the queue."""

    @property
    def limit(self) -> int:
        """The maximum of requests at once; 0: no limit."""

    def set_limits(self, limit: int, models: Mapping[str, int]) -> None:
        """Sets the maximum of requests at once, in all and for each model; 0: no limit."""

    def open(self) -> None:
        """Admits everybody's requests."""

    def close_to_others(self, reason: str) -> None:
        """Admits only the owner's requests, and refuses others with the reason."""

    def close(self, reason: str) -> None:
        """Refuses all new requests with the reason."""

    def drain(self) -> None:
        """Refuses queued and new requests; running ones finish."""

    async def idle(self) -> None:
        """Waits until nothing runs."""


class Ingress(Protocol):
    """The ingress of requests: tunnels, or a listener that the gateway connects to."""

    #: Called when `ready` changes.
    on_ready: Callable[[], None]

    @property
    def ready(self) -> bool:
        """True if requests can arrive; always true for a listener."""
        ...

    @property
    def connected(self) -> int:
        """The number of connections of the gateway."""

    def set_count(self, count: int) -> None:
        """Sets how many tunnels to keep open; does nothing for a listener."""

    def drain(self) -> None:
        """Asks the gateway to send no new requests."""

    async def drained(self) -> None:
        """Waits until the gateway sends no new requests."""

    async def run(self) -> None:
        """Serves until cancelled, and ends everything at once then."""


@dataclass(frozen=True, slots=True)
class Serving:
    """`outcomes` counts ended requests by outcome."""

    gate: Gate
    ingress: Ingress
    outcomes: Mapping[str, int] = field(default_factory=dict)


#: Builds the parts for the preferences at the process's start.
Build = Callable[[RenewableIdentity, Upstreams, Preferences], Serving]
