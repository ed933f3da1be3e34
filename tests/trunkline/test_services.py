"""The command lines of the services."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from trunkline.address import Address
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory
from trunkline.services import Settings, services
from trunkline.supervisor.spawn import ChildCommand

URL = "postgresql://u:pass-in-url@db.example/trunkline"


def commands(tmp_path: Path, log_level: str, **more: Any) -> dict[str, ChildCommand]:
    settings = Settings(
        layout=Layout(tmp_path),
        openai=Address("127.0.0.1", 1),
        admin=Address("127.0.0.1", 2),
        control=Address("127.0.0.1", 3),
        tunnel=Address("127.0.0.1", 4),
        tunnel_handshake=Address("127.0.0.1", 5),
        database_url=URL,
        config=None,
        envoy_binary=tmp_path / "envoy",
        envoy_modules=tmp_path / "modules",
        envoy_concurrency=1,
        envoy_memory=EnvoyMemory(1 << 30),
        log_level=log_level,
        **more,
    )
    inherited = {"PATH": "/bin", "OPENAI_API_KEY": "sk-of-a-provider", "TRUNKLINE_DATABASE_URL": URL}
    inherited["TRUNKLINE_SECRET_KEY"] = "key-of-the-store"
    with socket.socket(socket.AF_UNIX) as listening:
        return {each.name: each for each in services(settings, listening, inherited)}


def test_what_opens_the_store_is_on_no_command_line_and_reaches_the_control_plane_alone(tmp_path: Path) -> None:
    started = commands(tmp_path, "info")
    assert not [each for each in started.values() if "pass-in-url" in " ".join(each.argv)]
    for secret in (URL, "key-of-the-store"):
        assert [name for name, each in started.items() if secret in each.environment.values()] == ["xds_server"]
    assert not [each for each in started.values() if "sk-of-a-provider" in each.environment.values()]


@pytest.mark.parametrize(
    ("given", "passed"), [("trace", "debug"), ("info", "info"), ("warning", "warning"), ("critical", "error")]
)
def test_every_service_logs_at_the_level_asked_for(tmp_path: Path, given: str, passed: str) -> None:
    levels = {
        name: each.argv[each.argv.index("--log-level") + 1] for name, each in commands(tmp_path, given).items()
    }
    assert levels == {"xds_server": passed, "translator": passed, "envoy": given}


def test_the_control_plane_learns_what_envoy_may_hold(tmp_path: Path) -> None:
    argv = commands(tmp_path, "info")["xds_server"].argv
    bounds = [argv[argv.index(f"--max-{name}-bytes") + 1] for name in ("unchecked", "key", "total")]
    assert bounds == [str(32 << 20), str(64 << 20), str(256 << 20)]


def test_the_control_plane_learns_where_nodes_call(tmp_path: Path) -> None:
    argv = commands(tmp_path, "info")["xds_server"].argv
    assert argv[argv.index("--tunnel-listen") + 1] == "127.0.0.1:4"
    assert argv[argv.index("--tunnel-handshake-listen") + 1] == "127.0.0.1:5"


def test_the_control_planes_own_flags_are_passed_on_where_they_are_given(tmp_path: Path) -> None:
    plain = commands(tmp_path, "info")["xds_server"].argv
    own = {"--tunnel-url", "--usage-retention", "--rollup-retention", "--session-idle", "--session-lifetime"}
    assert not own & set(plain)
    given = commands(
        tmp_path,
        "info",
        tunnel_url="https://gateway.example.org:8443",
        usage_retention=0,
        rollup_retention=86_400,
        session_idle=900,
        session_lifetime=86_400,
    )["xds_server"].argv
    for flag, value in (
        ("--tunnel-url", "https://gateway.example.org:8443"),
        ("--usage-retention", "0"),
        ("--rollup-retention", "86400s"),
        ("--session-idle", "900s"),
        ("--session-lifetime", "86400s"),
    ):
        assert given[given.index(flag) + 1] == value
