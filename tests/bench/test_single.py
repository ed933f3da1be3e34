"""The benchmarks that `make bench` does not include still run, at a small scale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("reports", ["--days", "2", "--records", "500", "--database-url", "sqlite:///{}/year.db"], "report"),
        ("searches", ["--records", "2000", "--database-url", "sqlite:///{}/month.db"], "a rare key"),
        ("translator", ["--repetitions", "5", "--output", "{}/translator.json"], "decide"),
        ("records", ["--database", "sqlite", "--batches", "2", "--sizes", "10"], "lowest tenth"),
        (
            "scrape",
            ["--scrapes", "2", "--idle-seconds", "0.1", "--settle-seconds", "0", "--output", "{}/scrape.json"],
            "a scrape of /metrics/translator",
        ),
        ("limits", ["--seconds", "1", "--rate", "200", "--output", "{}/limits.json"], "requests/s"),
    ],
)
def test_it_runs(tmp_path: Path, name: str, arguments: list[str], told: str) -> None:
    command = [sys.executable, "-m", f"bench.{name}", *(each.format(tmp_path) for each in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
