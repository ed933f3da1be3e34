"""What goes on while a part of the gateway itself is dead, and how it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.load import Load
from tests.gateway.process import GatewayProcess


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": "plain", "targets": [{"provider": "a", "model": "plain"}]},
            {"model": "stream", "targets": [{"provider": "a", "model": "paced-30-100"}]},
        ],
    }


async def test_a_killed_translator_costs_only_what_it_was_deciding(gateway: GatewayProcess) -> None:
    async with Load(
        gateway.base_url, gateway.api_key, "plain", rate=50, streams=20, stream_model="stream"
    ) as load:
        await load.wait_for(50)
        for _ in range(3):
            killed = time.monotonic()
            gateway.kill("translator")
            await load.wait_for(150)
            assert max(each.duration for each in load.outcomes if each.started > killed) < 5.0
    assert not [each for each in load.stream_outcomes if each.problem], "a running stream was disturbed"
    failed = [each for each in load.outcomes if each.problem]
    assert {(each.status, each.retry_after) for each in failed} <= {(503, "1")}
    # 50 requests a second, a millisecond of authorising each: three kills meet a handful at the very most.
    assert len(failed) <= 6


async def test_clients_do_not_notice_a_stopped_control_plane(gateway: GatewayProcess) -> None:
    """A minute without it, under load; then it is in sync again without pushing what everybody has."""
    before = pushes(gateway)
    pid = gateway.kill("xds_server", signal.SIGSTOP)
    async with Load(gateway.base_url, gateway.api_key, "plain", rate=20, streams=5, stream_model="stream") as load:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            await load.wait_for(100)
        os.kill(pid, signal.SIGKILL)
        await in_sync(gateway, since_pid=pid)
        await load.wait_for(20)
    assert not load.problems
    assert pushes(gateway) == before


async def in_sync(gateway: GatewayProcess, since_pid: int, within: float = 15.0) -> float:
    """Seconds until both clients run what a new control plane has."""
    begun = time.monotonic()
    async with asyncio.timeout(within):
        while True:
            done = await asyncio.to_thread(gateway.run, "status", "--output", "json", check=False)
            if (
                done.returncode == 0
                and '"connected": false' not in done.stdout
                and gateway.service_pid("xds_server") != since_pid
            ):
                return time.monotonic() - begun


def pushes(gateway: GatewayProcess) -> dict[str, int]:
    """Envoy's own count of configuration updates."""
    return envoy_counters(gateway, ("listener_manager.lds.update_success", "cluster_manager.cds.update_success"))


def envoy_counters(gateway: GatewayProcess, names: tuple[str, ...]) -> dict[str, int]:
    async def read() -> str:
        connector = aiohttp.UnixConnector(path=str(gateway.data_dir / "run/envoy-admin.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://envoy/stats") as answer,
        ):
            return await answer.text()

    lines = dict(line.split(": ", 1) for line in asyncio.run(read()).splitlines() if ": " in line)
    return {name: int(lines[name]) for name in names}
