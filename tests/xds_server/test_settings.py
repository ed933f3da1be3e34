"""The control plane's flags."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from xds_server.accounts.sessions import Lifetime
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.settings import Settings, parse


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    token = tmp_path / "token"
    token.write_text("admin-token-of-the-tests\n")
    return [
        "--data-dir", str(tmp_path), "--database-url", "sqlite:///t.db", "--control-listen", "127.0.0.1:0",
        "--ads-socket", "s", "--admin-token-file", str(token), "--openai-listen", "127.0.0.1:1",
        "--admin-listen", "127.0.0.1:2",
    ]  # fmt: skip


def parsed(*arguments: str) -> Settings:
    return parse(arguments, {})


def test_how_long_usage_is_kept(arguments: list[str]) -> None:
    assert parsed(*arguments).retention == RetentionPeriods(records=30 * DAY, rollups=400 * DAY)
    given = parsed(*arguments, "--usage-retention", "12h", "--rollup-retention", "0")
    assert given.retention == RetentionPeriods(records=DAY // 2, rollups=0)


def test_how_long_sessions_last(arguments: list[str]) -> None:
    assert parsed(*arguments).sessions == Lifetime(idle=DAY // 2, absolute=7 * DAY)
    given = parsed(*arguments, "--session-idle", "15m", "--session-lifetime", "1d")
    assert given.sessions == Lifetime(idle=900, absolute=DAY)


@pytest.mark.parametrize("text", ["0", "299s", "367d"])
def test_a_session_that_would_never_end_or_at_once(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("--session-idle", "--session-lifetime"):
        with pytest.raises(SystemExit):
            parsed(*arguments, f"{flag}={text}")
        assert "is out of range; accepted: 5m to 366d" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["30", "1.5d", "-1d", "d", "30 d"])
def test_what_is_no_duration(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments, f"--usage-retention={text}")
    assert "is not a duration such as 12h or 30d, or 0" in capsys.readouterr().err


def test_where_nodes_join(arguments: list[str]) -> None:
    assert (parsed(*arguments).edge.tunnel_listen, parsed(*arguments).tunnel_url) == (None, "")
    for listen, url in (
        ("192.0.2.1:8443", "https://192.0.2.1:8443"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("0.0.0.0:8443", f"https://{socket.gethostname()}:8443"),
        ("[::]:8443", f"https://{socket.gethostname()}:8443"),
    ):
        assert parsed(*arguments, "--tunnel-listen", listen).tunnel_url == url
    given = [*arguments, "--tunnel-listen", "0.0.0.0:8443"]
    public = "https://gateway.example.org:443"
    assert parsed(*given, "--tunnel-url", f"{public}/").tunnel_url == public
    from_environment = parse(given, {"TRUNKLINE_TUNNEL_URL": public})
    assert (from_environment.tunnel_url, from_environment.edge.tunnel_listen) == (public, ("0.0.0.0", 8443))


@pytest.mark.parametrize("url", ["http://a:1", "https://", "https://a:b", "https://a/path", "https://a b", "a:1"])
def test_what_is_no_tunnel_url(arguments: list[str], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments, "--tunnel-url", url)
    assert "is not https://HOST:PORT" in capsys.readouterr().err


def test_where_nodes_call(arguments: list[str]) -> None:
    assert parsed(*arguments).edge.tunnel_listen is None
    first, second = (parsed(*arguments, "--tunnel-listen", "127.0.0.1:8443").edge for _ in range(2))
    assert first.tunnel_listen == ("127.0.0.1", 8443)
    assert first.tunnel_handshake_listen == ("127.0.0.1", 8444)
    assert first.tunnel_secret == second.tunnel_secret
    assert "admin-token" not in first.tunnel_secret
    assert len(first.tunnel_secret) == 64


def test_direct_addresses_of_nodes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rule = parsed(*arguments, "--tunnel-listen", "10.0.0.1:8443").direct_addresses
    assert "loopback" in rule.problem("127.0.0.1", 9000)
    for host, port in (("127.0.0.1", 1), ("127.0.0.1", 2), ("10.0.0.1", 8443), ("127.0.0.1", 8444)):
        assert "own listeners" in rule.problem(host, port)
    given = ("--allow-direct", "10.0.0.0/8, 127.0.0.0/8", "--allow-direct", "::1")
    rule = parsed(*arguments, *given).direct_addresses
    assert rule.problem("127.0.0.1", 9000) == rule.problem("::1", 9000) == ""
    assert "own listeners" in rule.problem("127.0.0.1", 2)
    with pytest.raises(SystemExit):
        parsed(*arguments, "--allow-direct", "localhost")
    assert "accepted: networks such as 127.0.0.0/8" in capsys.readouterr().err


def test_how_many_tunnels_a_node_keeps_open(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(*arguments).node_tunnels == 4
    assert parsed(*arguments, "--node-tunnels", "16").node_tunnels == 16
    for text in ("0", "-1", "1000", "x"):
        with pytest.raises(SystemExit):
            parsed(*arguments, f"--node-tunnels={text}")
        assert "is not a number from 1 to 999" in capsys.readouterr().err


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The end of the log, which `trunkline up` shows, has to be the message and not the usage."""
    with pytest.raises(SystemExit):
        parse(["--control-listen", "nowhere"], {})
    said = capsys.readouterr().err
    assert said.startswith("xds_server: error: ")
    assert said.count("\n") == 1
