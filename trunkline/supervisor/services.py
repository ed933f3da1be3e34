"""Keeps the long-running children up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Any

from trunkline.errors import StartError
from trunkline.supervisor.backoff import Backoff
from trunkline.supervisor.process import Nursery, Process, describe
from trunkline.supervisor.spawn import Command

_LOG_TAIL_LINES = 20
_LOG_TAIL_BYTES = 16 * 1024
_GRACE_SECONDS = 5.0


class Services:
    """Runs `commands` from `start` to `stop`.

    Until `serving` is called, a child that ends is a failed start; afterwards it is restarted with back-off.
    `notice` gets one line for each restart.
    """

    def __init__(self, commands: Sequence[Command], nursery: Nursery, notice: Callable[[str], None]) -> None:
        self._commands = commands
        self._nursery = nursery
        self._notice = notice
        self._running: dict[str, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._serving = False

    def start(self) -> None:
        """All at once, in the order given."""
        for command in self._commands:
            self._running[command.name] = self._nursery.start(command)
        self._keepers = [asyncio.create_task(self._keep(command)) for command in self._commands]

    def serving(self) -> None:
        """The start is over: from now on what crashes is restarted."""
        self._serving = True

    async def failed(self) -> None:
        """Returns never; raises StartError as soon as a child ends before `serving`."""
        await asyncio.gather(*self._keepers)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Ends the children, the last of `commands` first: SIGTERM, then SIGKILL after 5 s or on `hurry`."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for command in reversed(self._commands):
            if (process := self._running.get(command.name)) is not None:
                await _end(process, hurry)

    async def _keep(self, command: Command) -> None:
        backoff = Backoff()
        while True:
            process = self._running[command.name]
            # Shielded: when the keeper is cancelled, the process's own future must live on for `stop`.
            status = await asyncio.shield(process.ended)
            if not self._serving:
                raise StartError(f"{command.name} ended during the start ({describe(status)}){_log_tail(command)}")
            delay = backoff.delay(lived=process.lived)
            when = f"in {delay:g} s" if delay else "now"
            where = f"; its log: {command.log}" if command.log else ""
            self._notice(f"{command.name} ended ({describe(status)}); restarting {when}{where}")
            await asyncio.sleep(delay)
            self._running[command.name] = self._nursery.start(command)


async def _end(process: Process, hurry: asyncio.Event) -> None:
    if not hurry.is_set():
        process.send(signal.SIGTERM)
        hurried = asyncio.ensure_future(hurry.wait())
        either: set[asyncio.Future[Any]] = {process.ended, hurried}
        await asyncio.wait(either, timeout=_GRACE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
    process.send(signal.SIGKILL)
    await process.ended


def _log_tail(command: Command) -> str:
    """The last lines of its log, for the message about a failed start."""
    if command.log is None or not command.log.exists():
        return ""
    with command.log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return f"; the end of {command.log}:\n" + "\n".join(f"  {line}" for line in lines)
