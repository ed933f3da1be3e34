"""The command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from translator.errors import SettingsError
from translator.settings import parse


def arguments(tmp_path: Path, *more: str, control: str = "unix:/run/ads") -> list[str]:
    directories = ["--state-dir", str(tmp_path / "a" / "b"), "--ledger-dir", str(tmp_path / "a" / "c")]
    return ["--control", control, *directories, "--id", "t1", *more]


@pytest.mark.parametrize("control", ["unix:/run/ads", "127.0.0.1:18000", "control.example:1", "[::1]:18000"])
def test_settings(tmp_path: Path, control: str) -> None:
    token = tmp_path / "token"
    token.write_text("secret-token\n")
    settings, check = parse(
        arguments(tmp_path, "--socket", "/x", "--control-token-file", str(token), control=control), inherited=False
    )
    assert (settings.control, settings.control_token, settings.id, check) == (control, "secret-token", "t1", False)
    assert settings.socket == Path("/x")
    assert settings.state_dir.is_dir()
    assert settings.ledger_dir.is_dir()
    assert "secret-token" not in repr(settings)


def test_an_inherited_socket_comes_before_a_path(tmp_path: Path) -> None:
    settings, check = parse(arguments(tmp_path, "--socket", "/x", "--check-config"), inherited=True)
    assert (settings.socket, check) == (None, True)


@pytest.mark.parametrize(
    ("more", "control", "named"),
    [
        ((), "unix:/run/ads", "--socket"),
        (("--socket", "/x"), "http://x", "--control"),
        (("--socket", "/x"), "unix:", "--control"),
        (("--socket", "/x", "--control-token-file", "/nonexistent"), "x:1", "--control-token-file"),
        (("--socket", "/x", "--control-token-file", "/dev/null"), "x:1", "--control-token-file"),
        (("--socket", "/x", "--state-dir", "/dev/null/x"), "x:1", "--state-dir"),
        (("--socket", "/x", "--ledger-dir", "/dev/null/x"), "x:1", "--ledger-dir"),
    ],
)
def test_what_cannot_work_is_named(tmp_path: Path, more: tuple[str, ...], control: str, named: str) -> None:
    with pytest.raises(SettingsError, match=f"^{named}: "):
        parse(arguments(tmp_path, *more, control=control), inherited=False)
