"""Makes children die with a killed supervisor.

Linux does this itself (PR_SET_PDEATHSIG, see spawn.py). Elsewhere every child gets a tiny shell that reads from a
pipe which only the supervisor holds open. When the supervisor ends in any way, the shell reads the end of the file
and kills the child. The limit: if that shell is killed first, the child survives.
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
        """Makes `pid` die with this process."""

    def release(self, pid: int) -> None:
        """Releases `pid`, which has ended."""


class KernelLifeline:
    """Does nothing: each child asked the kernel at its start."""

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
        """The watcher is killed before its pipe is closed, or it would kill the next process with this pid."""
        watcher, writing = self._watchers.pop(pid)
        watcher.kill()
        watcher.wait()
        os.close(writing)


def for_this_system() -> Lifeline:
    """Returns the kernel's lifeline on Linux, and one that works by pipes elsewhere."""
    return KernelLifeline() if sys.platform == "linux" else PipeLifeline()
