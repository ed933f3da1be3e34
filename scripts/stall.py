"""Runs a command while its processes stand still in turn, as on a machine that is busy or swaps.

    python -m scripts.stall .venv/bin/python -m pytest -n0 tests/gateway/test_queue.py

Every second or so, one process below the command, chosen at random, is stopped (SIGSTOP) for up to 1.2 s. A test
that passes alone and fails under this assumes a speed or an order that nobody guarantees. Needs Linux's /proc.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from bench.processes import descendants

#: The shortest and the longest time.
Seconds: TypeAlias = tuple[float, float]
BETWEEN, STILL = (0.3, 1.5), (0.1, 1.2)


def run(command: Sequence[str], between: Seconds = BETWEEN, still: Seconds = STILL) -> int:
    """Returns the command's exit status. Every stopped process goes on before the next one stops."""
    chance = random.Random()  # noqa: S311 - no secret
    with subprocess.Popen(command) as process:
        ended = threading.Event()
        stalling = threading.Thread(target=_stall, args=(process.pid, ended, chance, between, still))
        stalling.start()
        try:
            return process.wait()
        finally:
            ended.set()
            stalling.join()


def _stall(root: int, ended: threading.Event, chance: random.Random, between: Seconds, still: Seconds) -> None:
    while not ended.wait(chance.uniform(*between)):
        if below := [pid for pid in descendants(root) if pid != root and _may_stop(pid)]:
            chosen = chance.choice(below)
            with suppress(ProcessLookupError):
                os.kill(chosen, signal.SIGSTOP)
                ended.wait(chance.uniform(*still))
                os.kill(chosen, signal.SIGCONT)


def _may_stop(pid: int) -> bool:
    """Returns whether a process runs or sleeps: the command itself may have stopped it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in {b"T", b"Z"}


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
