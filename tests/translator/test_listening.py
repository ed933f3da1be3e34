"""The origin of the listening socket."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from translator.errors import SettingsError
from translator.listening import bind, is_inherited


def test_a_socket_that_was_left_behind_is_replaced_and_private(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind(path).close()
    with bind(path) as sock:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sock.listen()
        with pytest.raises(SettingsError, match="another process listens"):
            bind(path)


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(SettingsError, match="is not a socket"):
        bind(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--socket"):
        bind(tmp_path / ("x" * 120))


def test_a_socket_for_another_process_is_not_ours() -> None:
    assert not is_inherited({})
    assert not is_inherited({"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"})
    assert is_inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
    with pytest.raises(SettingsError, match="LISTEN_FDS"):
        is_inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
