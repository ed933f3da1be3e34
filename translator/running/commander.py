"""Sends commands to Envoy's module over every open connection, and collects the results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from translator.checks.answers import Command, Order
from translator.checks.frames import CommandResult
from translator.running import progress
from translator.running.progress import Progress

Write = Callable[[bytes], None]

#: Seconds for a module to report a command's result. A module of an earlier version never does.
_PATIENCE = 1.0


class _Awaited:
    """A command, and the connections that have not reported its result yet."""

    def __init__(self, silent: set[Write]) -> None:
        self.silent = silent
        self.results: list[bytes] = []
        self.done = asyncio.Event()

    def end(self, write: Write) -> None:
        self.silent.discard(write)
        if not self.silent:
            self.done.set()


class Commander:
    """Commands every connection: several Envoys may be connected, each over several connections of which one
    reports.

    `patience` is how long it waits for the results, in seconds.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._connections: list[Write] = []
        self._awaited: dict[str, _Awaited] = {}
        self._tokens = count(1)
        #: Returns the lines that every connection gets first (`translator.running.sharing`).
        self.greeting: Callable[[], bytes] | None = None

    def opened(self, write: Write) -> None:
        """Adds a connection."""
        self._connections.append(write)
        if self.greeting is not None:
            # Nobody waits for the result.
            write(Command(Order.SHARE, "-", body=self.greeting()).encode())

    def closed(self, write: Write) -> None:
        """Forgets a connection, over which nothing more arrives."""
        self._connections.remove(write)
        for awaited in self._awaited.values():
            awaited.end(write)

    def finished(self, write: Write, result: CommandResult) -> None:
        """Takes a command's result over one connection."""
        awaited = self._awaited.get(result.token)
        if awaited is not None and write in awaited.silent:
            awaited.results.append(result.lines)
            awaited.end(write)

    async def report(self) -> Sequence[Progress] | None:
        """Returns the running requests, oldest first for each Envoy; None if no Envoy reports."""
        results = await self._command(Order.REPORT)
        return None if results is None else [each for lines in results for each in progress.read(lines)]

    async def cancel(self, request_id: str) -> Progress | None:
        """Ends a request. Returns its progress; None if no Envoy runs it."""
        results = await self._command(Order.CANCEL, request_id)
        return next((each for lines in results or () for each in progress.read(lines)), None)

    async def quotas(self) -> Sequence[bytes]:
        """Returns the lines of each Envoy about rests and quotas."""
        return await self._command(Order.QUOTAS) or ()

    async def share(self, lines: bytes) -> Sequence[bytes]:
        """Has each Envoy take lines as in envoy/module/sharing.h. Returns what `quotas` does, after that."""
        return await self._command(Order.SHARE, body=lines) or ()

    async def _command(self, order: Order, request_id: str = "", *, body: bytes = b"") -> Sequence[bytes] | None:
        if not self._connections:
            return None
        token = str(next(self._tokens))
        awaited = self._awaited[token] = _Awaited(set(self._connections))
        silent = len(awaited.silent)
        try:
            for write in tuple(awaited.silent):
                write(Command(order, token, request_id, body).encode())
            async with asyncio.timeout(self._patience):
                await awaited.done.wait()
        except TimeoutError:
            if len(awaited.silent) == silent:
                return None
        finally:
            del self._awaited[token]
        return awaited.results
