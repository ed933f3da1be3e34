"""Running children, integrated with asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from types import TracebackType

from trunkline.supervisor.lifeline import Lifeline
from trunkline.supervisor.spawn import ChildCommand, spawn


class Process:
    """A started child. `ended` becomes its exit status: the code, or minus the signal."""

    def __init__(self, command: ChildCommand, pid: int) -> None:
        self.command = command
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._started = time.monotonic()

    @property
    def lived(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, or does nothing once the child has ended; until then the pid is valid, because only we
        reap it.
        """
        if not self.ended.done():
            os.kill(self.pid, number)


class Nursery:
    """Starts children and reaps them on SIGCHLD. Use as a context manager in the main thread's event loop."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._running: dict[int, Process] = {}

    def __enter__(self) -> Nursery:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kills all remaining children."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        for process in self._running.values():
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
        self._running.clear()

    def start(self, command: ChildCommand) -> Process:
        """Starts a child that dies with this process. One that cannot be executed ends with 127."""
        process = Process(command, spawn(command))
        self._running[process.pid] = process
        self._lifeline.attach(process.pid)
        return process

    def adopt(self, command: ChildCommand, pid: int) -> Process:
        """Adopts a child that an earlier program in this process started. It may have ended in the meantime."""
        process = Process(command, pid)
        self._running[pid] = process
        self._lifeline.attach(pid)
        asyncio.get_running_loop().call_soon(self._reap)
        return process

    @property
    def children(self) -> dict[str, int]:
        """Returns the pids of running children by name."""
        return {process.command.name: pid for pid, process in self._running.items()}

    def _reap(self) -> None:
        """Reaps every ended child: one SIGCHLD may stand for several."""
        for pid, process in list(self._running.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self._running[pid]
                self._lifeline.release(pid)
                process.ended.set_result(os.waitstatus_to_exitcode(status))


def describe(status: int) -> str:
    """Describes an exit status, e.g. `signal SIGKILL` or `exit code 1`."""
    return f"exit code {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
