"""A value that a local server reports, read once for each start of the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from node_sidecar.errors import ProbeError
from node_sidecar.probes.http import LocalClient


class PerStart:
    """A number that `ask` reads; None if the server does not report it."""

    def __init__(self, ask: Callable[[LocalClient], Awaitable[int | None]]) -> None:
        self._ask = ask
        self._value: int | None = None
        self._asked = False

    async def get(self, local: LocalClient) -> int | None:
        """Returns the number; asks the server only if it has not been asked since its start."""
        if not self._asked:
            self._value, self._asked = await self._ask(local), True
        return self._value

    @contextmanager
    def forgotten_if_lost(self) -> Iterator[None]:
        """Wraps an observation and forgets the value after a ProbeError: another server may answer next."""
        try:
            yield
        except ProbeError:
            self._asked = False
            raise
