"""Processes that stand still in turn: each goes on, and the command's end is passed on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import stall

#: Writes its child's number, and ends with the child, once the child has been stopped and has gone on.
STOPPED = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
seen = set()
while len(seen) < 2:
    _, status = os.waitpid(child.pid, os.WUNTRACED | os.WCONTINUED)
    seen.add(os.WIFSTOPPED(status))
child.stdin.close()
while True:
    _, status = os.waitpid(child.pid, 0)
    if os.WIFEXITED(status):
        break
sys.exit(7)
"""


@pytest.mark.processes
@pytest.mark.slow
def test_a_process_below_the_command_stops_and_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(STOPPED)
    assert stall.run([sys.executable, str(script)], between=(0.0, 0.01), still=(0.0, 0.01)) == 7


@pytest.mark.processes
def test_what_the_command_has_stopped_itself_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        os.kill(child.pid, signal.SIGSTOP)
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert not stall._may_stop(child.pid)
        os.kill(child.pid, signal.SIGCONT)
    assert not stall._may_stop(child.pid)
    assert stall._may_stop(os.getpid())
