"""How targets are run: as `make fuzz` does, and one input again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuzz import corpus, engine, native, targets


def fuzz(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *arguments], capture_output=True, text=True, check=False, timeout=100
    )


def test_it_lists_every_target() -> None:
    assert fuzz("--list").stdout.split() == [*targets.names(), *(f"c/{name}" for name in native.targets())]


def test_an_unknown_target_is_refused() -> None:
    done = fuzz("bodies")
    assert done.returncode == 2
    assert "there are body, " in done.stderr


def test_it_runs_a_target_for_a_while() -> None:
    done = fuzz("note", "--seconds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "note         ok" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", ["note", "c/frames"])
def test_it_runs_one_input_again(target: str) -> None:
    done = fuzz(target, "--input", corpus.seeds(target)[0])
    assert done.returncode == 0, done.stderr


def test_what_broke_a_target_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> None:
        assert data != corpus.seeds("note")[0].read_bytes()

    module = SimpleNamespace(check=check, UNDER_TEST=())
    monkeypatch.setattr(targets, "load", lambda name: module)
    monkeypatch.setattr(corpus, "FINDINGS", tmp_path)
    with pytest.raises(AssertionError):
        engine._guided("note", 0)
    (kept,) = (tmp_path / "note").iterdir()
    assert kept.read_bytes() == corpus.seeds("note")[0].read_bytes()
