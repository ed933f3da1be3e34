"""The sidecar's output and logs for people."""

from __future__ import annotations

import pytest
import structlog
from click.testing import CliRunner

from node_sidecar import logs, status
from node_sidecar.cli import main
from node_sidecar.control import ControlClient
from node_sidecar.errors import SidecarControlError
from node_sidecar.text import make_visible, visible
from tests.trunkline.hostile import HOSTILE, assert_harmless


def test_what_is_not_seen_as_itself_is_escaped() -> None:
    assert visible("plain речь 日本\u00a0👍") == "plain речь 日本\u00a0👍"
    assert visible("\x1b[2J\x9b\u202e\u2028a\r\nb\x7f") == r"\x1b[2J\x9b\u202e\u2028a\r\nb\x7f"
    assert visible("a\nb\r", lines=True) == "a\nb\\r"


def test_logs_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    made = make_visible(None, "", {HOSTILE: HOSTILE, "event": HOSTILE, "list": [HOSTILE, {"a": (HOSTILE, 1)}]})
    assert_harmless(str(made.values()))
    try:
        log = logs.configure("info", "console")
        log.warning("told " + HOSTILE, reason=HOSTILE, error=ValueError(HOSTILE), some=[HOSTILE])
        logged = capsys.readouterr().err
        assert r"\x1b" in logged
        assert_harmless(logged)
        log = logs.configure("info", "json")
        log.warning("told", reason=HOSTILE)
        assert_harmless(capsys.readouterr().err)
    finally:
        structlog.reset_defaults()


def test_errors_and_status(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(self: ControlClient, command: str) -> None:
        raise SidecarControlError(f"refused: {HOSTILE}")

    monkeypatch.setattr(ControlClient, "ask", ask)
    done = CliRunner().invoke(main, ["status"])
    assert r"refused: \x1b" in done.output
    assert_harmless(done.output)


def test_the_table_of_status() -> None:
    server = {"url": HOSTILE, "kind": HOSTILE, "healthy": False, "reason": HOSTILE, "models": 1, "in_flight": 0}
    model = {
        "model": HOSTILE, "healthy": True, "context_length": 1, "capabilities": [HOSTILE], "server": HOSTILE,
        "input_price": 1, "output_price": 1,
    }  # fmt: skip
    texts = (
        "node",
        "name",
        "gateway",
        "reports",
        "connections",
        "serves",
        "reason",
        "certificate_until",
        "problem",
    )
    found = dict.fromkeys(texts, HOSTILE) | {
        "in_flight": 1, "queued": 0, "concurrency": 1, "approved": True, "drained_by_operator": False,
        "draining": False, "servers": [server], "models": [model], "gpus": [], "idle": None,
    }  # fmt: skip
    shown = status.table(found)
    assert_harmless(shown)
    assert "+ forged" not in shown.splitlines()
