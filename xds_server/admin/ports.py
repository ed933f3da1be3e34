"""What the Admin service needs from others."""

from __future__ import annotations

from typing import Protocol

from xds_server.clients import ClientStatus, Propagation, Rejection


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
