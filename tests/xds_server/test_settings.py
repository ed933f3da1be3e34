"""The control plane's settings from flags and environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds_server.settings import Settings, parse

URL = "postgresql://u:pass-in-url@db.example/trunkline"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    token = tmp_path / "token"
    token.write_text("'admin-token'")
    return [
        *("--data-dir", str(tmp_path)),
        *("--control-listen", "127.0.0.1:18000"),
        *("--ads-socket", str(tmp_path / "xds.sock")),
        *("--admin-token-file", str(token)),
        *("--openai-listen", "127.0.0.1:8080"),
        *("--admin-listen", "127.0.0.1:8081"),
    ]


def conninfo(settings: Settings) -> str:
    return settings.database.conninfo


def test_the_database_comes_from_the_environment_or_from_its_flag(arguments: list[str]) -> None:
    environment = {"TRUNKLINE_DATABASE_URL": URL}
    assert conninfo(parse(arguments, environment)) == URL
    flag = ["--database-url", "postgresql://other.example/x"]
    assert conninfo(parse([*arguments, *flag], environment)) == "postgresql://other.example/x"


def test_no_database_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments, {})
    assert "postgresql://" in capsys.readouterr().err


def test_secrets_are_not_shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse(arguments, {"TRUNKLINE_DATABASE_URL": URL, "TRUNKLINE_SECRET_KEY": "the-secret-key"})
    assert not [each for each in ("pass-in-url", "'admin-token'", "the-secret-key") if each in repr(settings)]
    with pytest.raises(SystemExit):
        parse([*arguments, "--help"], {"TRUNKLINE_DATABASE_URL": URL})
    assert "pass-in-url" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        parse(arguments, {"TRUNKLINE_DATABASE_URL": URL.replace("postgresql", "mysql")})
    assert "pass-in-url" not in capsys.readouterr().err
