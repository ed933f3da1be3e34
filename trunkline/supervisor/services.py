"""Keeps the long-running children up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trunkline.errors import StartError
from trunkline.supervisor.backoff import RestartBackoff
from trunkline.supervisor.process import Nursery, Process, describe
from trunkline.supervisor.spawn import ChildCommand

_LOG_TAIL_LINES = 20
_LOG_TAIL_BYTES = 16 * 1024
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.025


class Services:
    """Runs `commands` from `start` to `stop`.

    Until `serving` is called, a child that ends is a failed start; afterwards it is restarted with back-off.
    `notice` gets one line for each restart.
    """

    def __init__(self, commands: Sequence[ChildCommand], nursery: Nursery, notice: Callable[[str], None]) -> None:
        self._commands = commands
        self._nursery = nursery
        self._notice = notice
        self._running: dict[str, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._serving = False
        #: Processes being replaced on purpose; done once the successor runs.
        self._renewals: dict[str, asyncio.Future[None]] = {}

    def start(self, adopted: Mapping[str, int] | None = None) -> None:
        """Starts all at once, in the given order, except those that wait for another's socket. `adopted` are the
        pids of running children by name.
        """
        known = dict(adopted or {})
        for command in self._commands:
            pid = known.pop(command.name, None)
            if pid is not None:
                self._running[command.name] = self._nursery.adopt(command, pid)
            elif command.after is None:
                self._running[command.name] = self._nursery.start(command)
        for name, pid in known.items():  # no task waits for them, but they must be reaped
            self._nursery.adopt(ChildCommand(name, (), {}), pid)
        self._keepers = [asyncio.create_task(self._keep(command)) for command in self._commands]

    def serving(self) -> None:
        """Ends the start: from now on crashed children are restarted."""
        self._serving = True

    async def failed(self) -> None:
        """Never returns; raises StartError as soon as a child ends before `serving`."""
        # Not gathered: cancelling this must not cancel the keepers.
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        for keeper in done:
            keeper.result()

    async def renew(self, name: str) -> None:
        """Ends a child and starts it again with the current command."""
        with self._renewing(name):
            await _end(self._running[name], asyncio.Event())
            self._running[name] = self._nursery.start(self._command(name))

    async def succeed(
        self, name: str, ready: Coroutine[Any, Any, None], end: Callable[[], Awaitable[None]]
    ) -> bool:
        """Starts a child while the current one runs. Once it is `ready`, calls `end` for the old one, and ends it.

        Returns whether it did: if the successor ends before it is ready, everything stays as it was.
        """
        before, listening = self._running[name], asyncio.ensure_future(ready)
        with self._renewing(name):
            after = self._running[name] = self._nursery.start(self._command(name))
            either: set[asyncio.Future[Any]] = {listening, after.ended}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if after.ended.done():
                    self._running[name] = before
                    return False
            finally:
                listening.cancel()
            await end()
            await _end(before, asyncio.Event())
        return True

    @contextmanager
    def _renewing(self, name: str) -> Iterator[None]:
        done = self._renewals[name] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            done.set_result(None)
            self._renewals.pop(name, None)

    def _command(self, name: str) -> ChildCommand:
        return next(each for each in self._commands if each.name == name)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Ends the children, the last of `commands` first: SIGTERM, then SIGKILL after 5 s or on `hurry`."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for command in reversed(self._commands):
            if (process := self._running.get(command.name)) is not None:
                await _end(process, hurry)

    async def _keep(self, command: ChildCommand) -> None:
        backoff = RestartBackoff()
        if command.after is not None and command.name not in self._running:
            await _listens(command.after)
            self._running[command.name] = self._nursery.start(command)
        while True:
            process = self._running[command.name]
            # Shielded: when the keeper is cancelled, the process's future must live on for `stop`.
            status = await asyncio.shield(process.ended)
            renewal = self._renewals.get(command.name)
            if renewal is not None:
                await asyncio.shield(renewal)
                continue
            if not self._serving:
                raise StartError(f"{command.name} ended during the start ({describe(status)}){_log_tail(command)}")
            delay = backoff.delay(lived=process.lived)
            when = f"in {delay:g} s" if delay else "now"
            where = f"; its log: {command.log}" if command.log else ""
            self._notice(f"{command.name} ended ({describe(status)}); restarting {when}{where}")
            await asyncio.sleep(delay)
            self._running[command.name] = self._nursery.start(command)


async def _listens(path: Path) -> None:
    """Returns once a service accepts connections on the Unix socket `path`."""
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            writer.close()
            return


async def _end(process: Process, hurry: asyncio.Event) -> None:
    if not hurry.is_set():
        process.send(signal.SIGTERM)
        hurried = asyncio.ensure_future(hurry.wait())
        either: set[asyncio.Future[Any]] = {process.ended, hurried}
        await asyncio.wait(either, timeout=_GRACE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
    process.send(signal.SIGKILL)
    await process.ended


def _log_tail(command: ChildCommand) -> str:
    """Returns the last lines of the child's log, for the message about a failed start."""
    if command.log is None or not command.log.exists():
        return ""
    with command.log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return f"; the end of {command.log}:\n" + "\n".join(f"  {line}" for line in lines)
