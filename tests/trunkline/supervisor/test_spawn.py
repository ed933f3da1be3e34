from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from trunkline.supervisor import spawn as module
from trunkline.supervisor.spawn import ChildCommand, spawn


def _run(command: ChildCommand) -> int:
    _, status = os.waitpid(spawn(command), 0)
    return os.waitstatus_to_exitcode(status)


def test_a_command_that_is_not_there_says_so_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert _run(ChildCommand("x", ("/nonexistent/program",), {}, log)) == 127
    assert "cannot start /nonexistent/program: [Errno 2]" in log.read_text()


def test_a_child_gets_its_environment_and_nothing_else(tmp_path: Path) -> None:
    """The child gets no descriptor of its parent, and a session of its own."""
    log = tmp_path / "log"
    script = (
        "import os\n"
        "open_ = [n for n in range(64) if os.path.exists(f'/dev/fd/{n}')]\n"
        "print(os.environ.get('ONLY'), 'HOME' in os.environ, open_, os.getsid(0) == os.getpid())\n"
    )
    with (tmp_path / "ours").open("w"):
        assert _run(ChildCommand("x", (sys.executable, "-I", "-c", script), {"ONLY": "1"}, log)) == 0
    assert log.read_text() == "1 False [0, 1, 2] True\n"


def test_a_child_that_crashes_leaves_no_core(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "import os, resource\nprint(resource.getrlimit(resource.RLIMIT_CORE)[0])\nos.chdir(%r)\nos.abort()"
    command = (sys.executable, "-I", "-u", "-c", script % str(tmp_path))
    assert _run(ChildCommand("x", command, {}, log)) == -signal.SIGABRT
    assert log.read_text() in {"1\n", "0\n"}
    assert [each.name for each in tmp_path.iterdir()] == ["log"]


def test_signals_are_as_a_shell_would_have_them(tmp_path: Path) -> None:
    """Python ignores SIGPIPE, and a child would inherit signals that are ignored or blocked."""
    log = tmp_path / "log"
    script = "kill -PIPE $$; echo survived; kill -TERM $$; echo survived"
    assert _run(ChildCommand("x", ("/bin/sh", "-c", script), {}, log)) == -signal.SIGPIPE
    assert log.read_text() == ""


def test_a_grown_log_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_LIMIT_BYTES", 4)
    log = tmp_path / "log"
    log.write_text("older\n")
    assert _run(ChildCommand("x", ("/bin/sh", "-c", "echo newer"), {}, log)) == 0
    assert log.read_text() == "newer\n"
    assert (tmp_path / "log.1").read_text() == "older\n"
