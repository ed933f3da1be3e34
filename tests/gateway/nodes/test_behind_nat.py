"""A killed run leaves nothing behind that breaks the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.gateway.nodes.behind_nat import BehindNat, undisturbed

pytestmark = pytest.mark.network

_MAKE = "from tests.gateway.nodes.behind_nat import *; BehindNat().__enter__(); print('made', flush=True); input()"


def listed(*command: str) -> str:
    return subprocess.run(("ip", *command), capture_output=True, text=True, check=True).stdout


def running() -> subprocess.Popen[str]:
    """Returns a process that has made its networks. Its end leaves them behind."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "the process did not start"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_what_a_killed_run_left_goes_and_what_a_running_one_uses_stays() -> None:
    dead = running()
    with undisturbed():
        end(dead)
        assert f"tl-router-{dead.pid}" in listed("netns", "list")
    alive = running()
    try:
        with BehindNat() as mine:
            mine.add_route()
            assert f"tl-router-{dead.pid}" not in listed("netns", "list")
            assert f"tl-out{dead.pid}" not in listed("-o", "link")
            assert f"tl-router-{alive.pid}" in listed("netns", "list")
            assert f"tl-out{alive.pid}" in listed("-o", "link")
    finally:
        end(alive)
    with BehindNat():
        assert f"tl-router-{alive.pid}" not in listed("netns", "list")
