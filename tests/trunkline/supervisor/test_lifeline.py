"""The lifeline for systems without PR_SET_PDEATHSIG, which runs on every system here."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.trunkline.fakes.processes import ROOT, wait_for_end
from trunkline.supervisor.lifeline import PipeLifeline

pytestmark = pytest.mark.processes

_DIES = """
import os, signal, subprocess
from trunkline.supervisor.lifeline import PipeLifeline
children = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
lifeline = PipeLifeline()
for child in children:
    lifeline.attach(child.pid)
print(*(child.pid for child in children), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_children_die_with_a_killed_supervisor() -> None:
    done = subprocess.run([sys.executable, "-c", _DIES], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -9
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        wait_for_end(pid)


def test_a_released_pid_is_left_alone() -> None:
    lifeline = PipeLifeline()
    with subprocess.Popen(["sleep", "600"]) as child:
        lifeline.attach(child.pid)
        lifeline.release(child.pid)
        assert child.poll() is None
        child.kill()
