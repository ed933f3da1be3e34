"""Failures under a running gateway are noticed, reported, and cost no request."""

from __future__ import annotations

import json
from pathlib import Path

from tests.gateway.process import GatewayProcess
from tests.gateway.test_start import ask
from tests.waiting import eventually


def test_a_database_that_was_moved_away_refuses_changes_and_serves_on(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "data") as gateway:
        database = gateway.data_dir / "trunkline.db"
        database.rename(tmp_path / "away")
        eventually(lambda: gateway.readyz()[0] == 503)
        assert "was deleted while the control plane had it open" in gateway.readyz()[1]
        refused = gateway.run("keys", "create", "--org", "default", "--name", "lost", check=False)
        assert refused.returncode != 0
        assert "Move the right file to this path" in refused.stderr
        shown = gateway.run("status").stdout
        assert "Move the right file to this path" in shown
        assert ask(gateway, "/models", gateway.api_key)["object"] == "list"
        (tmp_path / "away").rename(database)
        eventually(lambda: gateway.readyz() == (200, "ready"))
        gateway.run("keys", "create", "--org", "default", "--name", "kept")
        eventually(lambda: json.loads(gateway.run("status", "--output", "json").stdout)["problems"] == [])
