"""Children that die with a killed supervisor.

Linux does it itself (PR_SET_PDEATHSIG, see spawn.py). Elsewhere every child gets a tiny shell that reads from a
pipe which only the supervisor holds open: when the supervisor is gone, however it went, the shell reads the end of
the file and kills the child. Its limit: whoever kills that shell first cuts the lifeline.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Protocol

_WATCH = 'read -r _; kill -9 "$1" 2>/dev/null'


class Lifeline(Protocol):
    """Ties children to this process."""

    def attach(self, pid: int) -> None:
        """From now on `pid` dies with us."""

    def release(self, pid: int) -> None:
        """`pid` has ended."""


class KernelLifeline:
    """The kernel was told at the start of each child."""

    def attach(self, pid: int) -> None:
        pass

    def release(self, pid: int) -> None:
        pass


class PipeLifeline:
    """One watching shell per child."""

    def __init__(self) -> None:
        self._watchers: dict[int, tuple[subprocess.Popen[bytes], int]] = {}

    def attach(self, pid: int) -> None:
        reading, writing = os.pipe()  # close-on-exec: no child holds the writing end
        try:
            watcher = subprocess.Popen(
                ("/bin/sh", "-c", _WATCH, "sh", str(pid)),
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(reading)
        self._watchers[pid] = (watcher, writing)

    def release(self, pid: int) -> None:
        """The watcher is killed before its pipe is closed, or it would kill whoever gets the pid next."""
        watcher, writing = self._watchers.pop(pid)
        watcher.kill()
        watcher.wait()
        os.close(writing)


def for_this_system() -> Lifeline:
    return KernelLifeline() if sys.platform == "linux" else PipeLifeline()
