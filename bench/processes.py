"""Starts and stops processes, and reads their cost from Linux's /proc."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import ProcessFailedError

CPUCLOCK_SCHED = 2  # from Linux's posix-timers.h; Python wraps clock_getcpuclockid for threads only
STOP_SECONDS = 20.0


class Child:
    """A child process. Its output goes to `log`; its standard input is a pipe that closes when this process
    ends.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._environment = {**os.environ, **(environment or {})}
        self.log = log

    def __enter__(self) -> Self:
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        """Returns its output so far."""
        return self.log.read_text(errors="replace")

    def wait_for_line(self, pattern: str, timeout_seconds: float) -> re.Match[str]:
        """Waits until a line of its output matches. Raises ProcessFailedError with its last lines."""
        deadline = time.monotonic() + timeout_seconds
        while (found := re.search(pattern, self.output(), re.MULTILINE)) is None:
            self._check(deadline, f"print {pattern!r}")
            time.sleep(0.02)
        return found

    def wait_for_port(self, port: int, timeout_seconds: float) -> None:
        """Waits until it accepts connections on a loopback port. Raises ProcessFailedError."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                self._check(deadline, f"listen on port {port}")
                time.sleep(0.02)
            else:
                return

    def _check(self, deadline: float, wanted: str) -> None:
        code = self._process.poll()
        if code is None and time.monotonic() < deadline:
            return
        what = "did not in time" if code is None else f"ended with status {code} and did not"
        last_words = "\n".join(self.output().splitlines()[-15:])
        raise ProcessFailedError(f"{' '.join(self._command[:4])} … {what} {wanted}. Its last words:\n{last_words}")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in KiB. `anonymous` excludes mapped files, such as the executable itself."""

    peak: int
    anonymous: int


def cpu_us(pid: int) -> int:
    """Returns user and system time of all threads in microseconds; 0 for a process that has ended.

    It reads the process's CPU clock (clock_getcpuclockid); /proc/<pid>/stat rounds the same sum to 10 ms ticks.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED) // 1000
    except OSError:
        return 0


def memory(pid: int) -> Memory:
    """Returns the memory. Raises ProcessFailedError if the process has ended: it crashed during the
    measurement.
    """
    gone = ProcessFailedError(f"process {pid} ended while it was measured")
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise gone from None
    found = dict(re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB", status, re.MULTILINE))
    if len(found) != 2:  # a zombie has no memory
        raise gone
    return Memory(peak=int(found["VmHWM"]), anonymous=int(found["RssAnon"]))


def descendants(root: int) -> dict[int, str]:
    """Returns the command lines (arguments joined by spaces) of `root` and all processes below it, by pid."""
    parents: dict[int, int] = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(directory.name)] = int(fields[1])
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below and pid not in below}:
        below |= more
    return {pid: _command_line(pid) for pid in sorted(below)}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
