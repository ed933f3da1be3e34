"""The attacks still run, at a small scale. Whether they meet their goals can only be measured on a
quiet machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench.neighbours.__main__ import Outcome, as_text
from bench.neighbours.attacker import ATTACKS
from bench.neighbours.bombs import many_keys, nested
from bench.neighbours.memory import roles_of
from bench.neighbours.victim import Figures
from bench.processes import Child
from tests.waiting import eventually


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_attack_runs_and_ends() -> None:
    command = [sys.executable, "-m", "bench.neighbours", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode in {0, 1}, done.stderr
    table, _, answered = done.stdout.partition("Answers to the attacker:\n")
    for attack in ATTACKS:
        row = next(line for line in table.splitlines() if line.startswith(attack))
        assert row.endswith(("met", "MISSED"))
        assert f"\n{attack}: " in f"\n{answered}"


def test_the_goal() -> None:
    quiet = Figures(100, 0, 4.0, 10.0)

    def met(requests: int = 100, errors: int = 0, p99: float = 10.0, missing: int = 0) -> bool:
        return Outcome("a", quiet, Figures(requests, errors, 4.0, p99), {}, {}, missing).met

    assert met()
    assert met(p99=30.0)
    assert not met(p99=30.1)
    assert not met(errors=1)
    assert not met(missing=1)
    assert not met(requests=0)


def test_the_table_says_what_was_missed() -> None:
    figures = Figures(100, 3, 4.0, 10.0)
    text = as_text([Outcome("a", figures, figures, {"envoy": 80.4}, {"501": 8}, 0)])
    assert "MISSED" in text
    assert "501 8" in text
    assert " 80 " in text


def test_figures_count_what_was_not_served() -> None:
    assert Figures.of([0.001, 0.002, 0.003], 2) == Figures(5, 2, 2.0, 3.0)


@pytest.mark.processes
def test_what_a_translator_has_started_are_its_parsers(tmp_path: Path) -> None:
    """The command lines of both contain `translator.…`."""
    asleep = "[sys.executable, '-c', 'import time; time.sleep(60)', 'translator.w']"
    worker = f"import subprocess, sys; subprocess.run({asleep})"
    below = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], 'translator'])"
    with Child([sys.executable, "-c", below, worker], tmp_path / "log") as child:
        roles = eventually(lambda: roles_of(child.pid, None)["parsers"])
        assert len(roles) == 1
        assert len(roles_of(child.pid, None)["translator"]) == 1
        for pid in roles:
            os.kill(pid, signal.SIGKILL)


def test_bombs_are_json() -> None:
    assert orjson.loads(nested(300))["messages"] == [[]] * 101
    assert len(orjson.loads(many_keys(10))) == 11
