"""Only one benchmark runs at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import AlreadyRunningError
from bench.lock import exclusive

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
NAME = f"trunkline-bench-test-{os.getpid()}"
HOLD = f"from bench.lock import exclusive\nwith exclusive({NAME!r}):\n    print('held', flush=True)\n    input()"


def test_a_second_benchmark_is_refused_and_learns_whose_the_first_is() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=rf"pid {holder.pid}\b"), exclusive(NAME):
            pass
        holder.kill()
        holder.wait(60)
        with exclusive(NAME):  # the lock ends with its process, however that ended
            pass


def test_what_the_holder_starts_is_part_of_its_run() -> None:
    with exclusive(NAME):
        done = subprocess.run(
            [sys.executable, "-c", HOLD], cwd=ROOT, input="\n", capture_output=True, text=True, check=False
        )
        # A program that another process started is not exempt: here, a shell is between the two.
        stranger = subprocess.run(
            ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, HOLD],
            cwd=ROOT,
            input="\n",
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "held\n"
    assert stranger.returncode != 0
    assert f"pid {os.getpid()}" in stranger.stderr
