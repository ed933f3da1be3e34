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
    def in_flight(self) -> int: ...

    @property
    def queued(self) -> int: ...

    @property
    def limit(self) -> int: ...

    def set_limits(self, limit: int, models: Mapping[str, int]) -> None: ...

    def open(self) -> None: ...

    def close_to_others(self, reason: str) -> None: ...

    def close(self, reason: str) -> None: ...

    def drain(self) -> None: ...

    async def idle(self) -> None: ...


class Ingress(Protocol):
    """The ingress of requests: tunnels, or a listener that the gateway connects to."""

    #: Called when `ready` changes.
    on_ready: Callable[[], None]

    @property
    def ready(self) -> bool:
        """True if requests can arrive; always true for a listener."""
        ...

    @property
    def connected(self) -> int: ...

    def set_count(self, count: int) -> None:
        """Sets how many tunnels to keep open; does nothing for a listener."""

    def drain(self) -> None: ...

    async def drained(self) -> None: ...

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Serving:
    """`outcomes` counts ended requests by outcome."""

    gate: Gate
    ingress: Ingress
    outcomes: Mapping[str, int] = field(default_factory=dict)


#: Builds the parts for the preferences at the process's start.
Build = Callable[[RenewableIdentity, Upstreams, Preferences], Serving]
