"""The ways to run targets: like `make fuzz`, and a single input again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuzz import __main__ as running, corpus, engine, native, targets

pytestmark = pytest.mark.processes


def fuzz(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz", *arguments], capture_output=True, text=True, check=False, timeout=280
    )


def test_it_lists_every_target() -> None:
    assert fuzz("--list").stdout.split() == [*targets.names(), *(f"c/{name}" for name in native.targets())]


def test_an_unknown_target_is_refused() -> None:
    done = fuzz("bodies")
    assert done.returncode == 2
    assert "there are body, " in done.stderr


@pytest.mark.parametrize(
    ("script", "grace", "held", "said"),
    [
        ("print('#9 DONE 1234 runs')", 100, True, "1234 runs"),
        ("print('7 runs'); raise SystemExit('what broke')", 100, False, "what broke"),
        ("import time; print('begun', flush=True); time.sleep(60)", 2, False, "did not end"),
    ],
    ids=["holds", "breaks", "hangs"],
)
def test_it_says_how_a_target_ended(
    script: str,
    grace: int,
    held: bool,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(running, "_command", lambda target, seconds: [sys.executable, "-c", script])
    monkeypatch.setattr(running, "_GRACE", grace)
    assert running._run("log_context", 0.1) is held
    assert said in capsys.readouterr().out


@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", ["log_context", "c/frames"])
def test_it_runs_one_input_again(target: str) -> None:
    done = fuzz(target, "--input", corpus.seeds(target)[0])
    assert done.returncode == 0, done.stderr


def test_what_broke_a_target_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(data: bytes) -> None:
        assert data != corpus.seeds("log_context")[0].read_bytes()

    module = SimpleNamespace(check=check, UNDER_TEST=())
    monkeypatch.setattr(targets, "load", lambda name: module)
    monkeypatch.setattr(corpus, "FINDINGS", tmp_path)
    with pytest.raises(AssertionError):
        engine._guided("log_context", 0)
    (kept,) = (tmp_path / "log_context").iterdir()
    assert kept.read_bytes() == corpus.seeds("log_context")[0].read_bytes()
