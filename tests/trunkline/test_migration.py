"""A start that takes long because of a migration is reported to everybody who asks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from trunkline_proto.admin.v1 import admin_pb2

from trunkline import migration
from trunkline.client import Control
from trunkline.errors import ControlError
from trunkline.migration import Migration

STEP = {"number": 2, "total": 4, "title": "Moves records", "share": 0.5}
PATIENCE = 60.0


def test_what_runs_is_read_and_reported(tmp_path: Path) -> None:
    file = tmp_path / "migration"
    assert migration.read(None) is None
    assert migration.read(file) is None
    file.write_text("{")
    assert migration.read(file) is None
    file.write_text(json.dumps(STEP))
    found = migration.read(file)
    assert found == Migration(2, 4, "Moves records", 0.5)
    assert found.percent == 37
    assert str(found) == "step 2 of 4, 50% of it done: Moves records"


@pytest.mark.slow
async def test_each_step_is_a_line_where_no_terminal_is(tmp_path: Path) -> None:
    file, lines = tmp_path / "migration", asyncio.Queue[str]()
    showing = asyncio.create_task(migration.show(file, lines.put_nowait))
    for number in (1, 2):
        file.with_suffix(".part").write_text(json.dumps({**STEP, "number": number, "share": 0.0}))
        file.with_suffix(".part").replace(file)
        async with asyncio.timeout(PATIENCE):
            assert await lines.get() == f"migrating the database: step {number} of 4: Moves records"
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)


def test_a_verb_says_why_nobody_answers(tmp_path: Path) -> None:
    """The file is next to the control plane's socket, or in the data directory."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "migration").write_text(json.dumps(STEP))
    (tmp_path / "credentials.json").write_text(json.dumps({"control": "127.0.0.1:9", "admin_token": "t"}))
    socket = {"TRUNKLINE_CONTROL": f"unix:{tmp_path}/run/xds.sock", "TRUNKLINE_ADMIN_TOKEN": "t"}
    for environment in ({}, socket):
        control = Control.find(tmp_path, environment)
        with pytest.raises(ControlError, match=r"migrates its database.*: step 2 of 4"), control.connect() as api:
            api.GetStatus(admin_pb2.GetStatusRequest())
    elsewhere = Control.find(tmp_path, {**socket, "TRUNKLINE_CONTROL": "127.0.0.1:1"})
    assert elsewhere.migration is None
