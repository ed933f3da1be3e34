"""Processes that stand still in turn: each goes on, and the command's end is passed on."""

from __future__ import annotations

import os
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


def test_only_what_is_below_is_found() -> None:
    assert os.getpid() in stall.descendants(os.getppid())
    assert os.getpid() not in stall.descendants(os.getpid())
