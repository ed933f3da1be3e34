"""A killed run leaves nothing behind that breaks the next one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.gateway.nodes.behind_nat import BehindNat

pytestmark = pytest.mark.network


def listed(*command: str) -> str:
    return subprocess.run(("ip", *command), capture_output=True, text=True, check=True).stdout


def test_what_a_killed_run_left_goes_and_what_a_running_one_uses_stays() -> None:
    killed = "import os, signal; from tests.gateway.nodes.behind_nat import BehindNat; BehindNat().__enter__(); "
    dead = subprocess.Popen([sys.executable, "-c", killed + "os.kill(os.getpid(), signal.SIGKILL)"])
    dead.wait(60)
    assert f"tl-router-{dead.pid}" in listed("netns", "list")
    alive = subprocess.Popen(
        [sys.executable, "-c", killed + "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert alive.stdout is not None
        assert alive.stdout.readline(), "the process did not start"
        with BehindNat() as mine:
            mine.add_route()
            assert f"tl-router-{dead.pid}" not in listed("netns", "list")
            assert f"tl-out{dead.pid}" not in listed("-o", "link")
            assert f"tl-router-{alive.pid}" in listed("netns", "list")
            assert f"tl-out{alive.pid}" in listed("-o", "link")
    finally:
        alive.kill()
        alive.communicate()
    with BehindNat():
        assert f"tl-router-{alive.pid}" not in listed("netns", "list")
