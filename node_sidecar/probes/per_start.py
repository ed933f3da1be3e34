"""What a local server says of itself once, at its start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from node_sidecar.errors import ProbeError
from node_sidecar.probes.http import LocalClient


class PerStart:
    """A number that `ask` finds out, or None where the server does not tell it."""

    def __init__(self, ask: Callable[[LocalClient], Awaitable[int | None]]) -> None:
        self._ask = ask
        self._value: int | None = None
        self._asked = False

    async def get(self, local: LocalClient) -> int | None:
        """Asks the server, unless it has been asked since its start."""
        if not self._asked:
            self._value, self._asked = await self._ask(local), True
        return self._value

    @contextmanager
    def forgotten_if_lost(self) -> Iterator[None]:
        """Around an observation: after a ProbeError it may be another server when it is back."""
        try:
            yield
        except ProbeError:
            self._asked = False
            raise
