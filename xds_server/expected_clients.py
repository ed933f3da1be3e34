"""Remembers clients that were connected until recently and will come back: no change is everywhere before they
have it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from xds_server.protocol.snapshot import ENDPOINT, SECRET

#: Seconds within which a client that lost its stream returns: Envoy tries again after at most ten seconds.
RETURN_SECONDS = 15.0
#: Seconds from a change of the clients until it is stored with those that follow it.
_ROUND = 0.25
#: Clients that are remembered at most.
_MAX = 4_096
#: Types that clients ask for only as long as something refers to them.
_OCCASIONAL = frozenset({ENDPOINT, SECRET})

_log = structlog.get_logger(__name__)

Types = frozenset[str]


class ExpectedClients:
    """Remembers the types that each disconnected client had requested, until it returns, at most `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._left: dict[str, tuple[Types, float]] = {}

    def left(self, client_id: str, types: Iterable[str]) -> None:
        """Records that the client's last stream has just ended."""
        if self.seconds > 0 and len(self._left) < _MAX:
            self._left[client_id] = frozenset(types) - _OCCASIONAL, self._clock() + self.seconds

    def returned(self, client_id: str) -> Types:
        """Records that the client has a stream again. Returns the types that it will ask for; empty if it was not
        expected.
        """
        types, until = self._left.pop(client_id, (frozenset(), 0.0))
        return types if self._clock() < until else frozenset()

    @property
    def missing(self) -> Mapping[str, Types]:
        """Returns the clients that are still expected."""
        now = self._clock()
        self._left = {client_id: left for client_id, left in self._left.items() if left[1] > now}
        return {client_id: types for client_id, (types, _) in self._left.items()}

    @property
    def longest(self) -> float:
        """Returns the seconds until no client is expected any more."""
        now = self._clock()
        return max((until - now for _, until in self._left.values()), default=0.0)


class Clients(Protocol):
    """Knows which clients are running."""

    #: Called when that may have changed.
    on_change: Callable[[], object]

    def running(self) -> Mapping[str, Types]:
        """Returns the clients that are connected or expected, with the types that they ask for."""

    def expect(self, known: Mapping[str, Types]) -> None:
        """Expects clients that were running when an earlier process ended."""

    @property
    def expected_seconds(self) -> float:
        """Returns the seconds until no client is expected any more."""


class RunningClients:
    """Keeps a file of the running clients, so that a control plane that crashed knows which to expect.

    A file that cannot be read or written counts as missing: changes are then reported only for connected clients.
    """

    def __init__(self, path: Path, clients: Clients) -> None:
        self._path = path
        self._clients = clients
        self._written: Mapping[str, Types] = {}
        self._changed = asyncio.Event()
        clients.on_change = self._changed.set

    def restore(self) -> None:
        """Expects the clients that the file names."""
        try:
            stored = json.loads(self._path.read_text())
            known = {str(client_id): frozenset(map(str, types)) for client_id, types in stored.items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, AttributeError, TypeError) as error:
            _log.warning("running clients cannot be read", path=str(self._path), reason=type(error).__name__)
            return
        self._written = known
        self._clients.expect(known)

    async def run(self) -> None:
        """Keeps the file up to date until cancelled."""
        while True:
            self._changed.clear()
            await asyncio.sleep(_ROUND)
            running = self._clients.running()
            if running != self._written:
                self._written = running
                await asyncio.to_thread(self._write, running)
            with suppress(TimeoutError):  # until clients that did not return are no longer expected
                async with asyncio.timeout(self._clients.expected_seconds or None):
                    await self._changed.wait()

    def _write(self, running: Mapping[str, Types]) -> None:
        text = json.dumps({client_id: sorted(types) for client_id, types in sorted(running.items())[:_MAX]})
        new = self._path.with_suffix(".new")
        try:
            new.write_text(text)
            new.replace(self._path)
        except OSError as error:
            _log.warning("running clients cannot be stored", path=str(self._path), reason=error.strerror)
