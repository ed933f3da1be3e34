"""`trunkline audit` against a real control plane."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trunkline.verbs.control_plane import ControlPlane, control_plane


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with control_plane(tmp_path) as running:
        for name in ("acme", "beta", "gamma"):
            result = running.trunkline("orgs", "add", name)
            assert result.exit_code == 0, result.output
        yield running


def test_verify_and_tampering(plane: ControlPlane) -> None:
    intact = plane.trunkline("audit", "verify")
    assert intact.exit_code == 0
    word, events, head = intact.output.splitlines()
    assert (word, events) == ("intact", "events: 3")
    assert len(head.removeprefix("head: ")) == 64
    with sqlite3.connect(plane.database, timeout=60) as connection:
        connection.execute("DROP TRIGGER audit_event_no_update")
        connection.execute("UPDATE audit_event SET object_name = 'other' WHERE id = 2")
    connection.close()
    broken = plane.trunkline("audit", "verify")
    assert broken.exit_code == 1
    assert broken.output.startswith("BROKEN at event 2:")


def test_filters_and_export(plane: ControlPlane, tmp_path: Path) -> None:
    listed = json.loads(plane.trunkline("audit", "--name", "beta", "--by", "admin", "-o", "json").output)
    assert [(row["name"], row["action"]) for row in listed] == [("beta", "create")]
    assert plane.trunkline("audit", "--by", "nobody").output == "(none)\n"
    assert plane.trunkline("audit", "list", "--since", "2999-01-01").output == "(none)\n"
    assert len(plane.trunkline("audit", "list", "--since", "1h", "--count", "2").output.splitlines()) == 3
    exported = json.loads(plane.trunkline("audit", "export").output)
    assert [row["name"] for row in exported] == ["gamma", "beta", "acme"]
    file = tmp_path / "audit.csv"
    plane.trunkline("audit", "export", "--format", "csv", "--type", "organisation", "--file", str(file))
    with file.open(newline="") as opened:
        assert [row["name"] for row in csv.DictReader(opened)] == ["gamma", "beta", "acme"]
