from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node_sidecar.control import ControlClient, ControlServer
from node_sidecar.errors import SidecarControlError


@pytest.fixture
def done() -> list[str]:
    return []


def _server(directory: Path, done: list[str]) -> ControlServer:
    def pause() -> Mapping[str, Any]:
        done.append("pause")
        return {"serves": "nobody"}

    return ControlServer(directory, lambda: {"node": "nd-1"}, {"pause": pause})


async def test_commands_reach_the_sidecar(tmp_path: Path, done: list[str]) -> None:
    server = _server(tmp_path, done)
    await server.start()
    client = ControlClient(tmp_path)
    assert await client.ask("status") == {"node": "nd-1"}
    assert await client.ask("pause") == {"serves": "nobody"}
    assert done == ["pause"]
    with pytest.raises(SidecarControlError, match="refuses format"):
        await client.ask("format")
    await server.stop()
    with pytest.raises(SidecarControlError, match="is not running"):
        await client.ask("status")


async def test_nobody_commands_it_without_the_token(tmp_path: Path, done: list[str]) -> None:
    server = _server(tmp_path, done)
    await server.start()
    file = tmp_path / "control.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    url = f"http://127.0.0.1:{json.loads(file.read_text())['port']}/pause"
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer wrong"}):
            async with session.post(url, headers=headers) as response:
                assert response.status == 401
    assert done == []
    await server.stop()


async def test_a_sidecar_that_was_killed_is_not_running(tmp_path: Path) -> None:
    (tmp_path / "control.json").write_text('{"port": 9, "token": "t", "pid": 1}')
    with pytest.raises(SidecarControlError, match="is not running"):
        await ControlClient(tmp_path).ask("status")
    (tmp_path / "control.json").write_text("{")
    with pytest.raises(SidecarControlError, match="cannot be used"):
        await ControlClient(tmp_path).ask("status")
