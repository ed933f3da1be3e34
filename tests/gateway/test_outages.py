"""What continues while a part of the gateway itself is dead, and how that part comes back."""

from __future__ import annotations

import asyncio
import json
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
from tests.waiting import until

OUTAGE_SECONDS = 60.0
#: Far above the figures of `make bench`: distinguishes an outage that does not end from a busy machine.
IN_SYNC_SECONDS = 120.0
PUSHES = ("listener_manager.lds.update_success", "cluster_manager.cds.update_success")


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


def load_on(gateway: GatewayProcess) -> Load:
    return Load(gateway.base_url, gateway.api_key, "plain", rate=50, streams=20, stream_model="stream")


async def test_a_killed_translator_costs_only_what_it_was_deciding(gateway: GatewayProcess) -> None:
    killed = []
    async with load_on(gateway) as load:
        await load.wait_for(50)
        for _ in range(3):
            killed.append(time.monotonic())
            gateway.kill("translator")
            await load.wait_for(150)
    failed = [each for each in load.outcomes if each.problem]
    assert {(each.status, each.retry_after) for each in failed} <= {(503, "1")}
    # Authorising takes a millisecond, so a kill meets one request or two; more where the machine is busy.
    assert len(failed) <= len(load.outcomes) / 10
    assert all(any(each.started - 20 < at < each.started + each.duration for at in killed) for each in failed)
    assert max(each.duration for each in load.outcomes) < IN_SYNC_SECONDS
    # A running stream no longer needs the translator; one that began during a kill may have been refused.
    assert not all(each.problem for each in load.stream_outcomes)
    assert {each.status for each in load.stream_outcomes if each.problem} <= {503}


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_clients_do_not_notice_a_minute_without_the_control_plane(gateway: GatewayProcess) -> None:
    """The control plane is killed after every restart. Then its clients sync without repeated pushes."""
    await in_sync(gateway)
    before = await envoy_counters(gateway)
    async with load_on(gateway) as load:
        ends = time.monotonic() + OUTAGE_SECONDS
        stopped = gateway.kill("xds_server", signal.SIGSTOP)
        while time.monotonic() < ends:
            await load.wait_for(50)
        os.kill(stopped, signal.SIGKILL)
        restarted = time.monotonic()
        await in_sync(gateway)
        took = time.monotonic() - restarted
        await load.wait_for(50)
    assert not load.problems
    assert took < IN_SYNC_SECONDS
    assert await envoy_counters(gateway) == before


async def test_a_restarted_translator_serves_from_its_snapshot_without_a_control_plane(
    gateway: GatewayProcess,
) -> None:
    # The snapshot is written some time after the first policy has arrived.
    await until((gateway.data_dir / "translator" / "policy.snapshot").exists)
    stopped = gateway.kill("xds_server", signal.SIGSTOP)
    try:
        async with Load(gateway.base_url, gateway.api_key, "plain", rate=20) as load:
            await load.wait_for(10)
            gateway.kill("translator")
            await load.wait_for(60)
        assert len(load.problems) <= len(load.outcomes) / 10
        assert load.outcomes[-1].status == 200
    finally:
        os.kill(stopped, signal.SIGCONT)
    await in_sync(gateway)


async def test_a_killed_envoy_is_back_and_configured(gateway: GatewayProcess) -> None:
    """Envoy's connections die with it; requests sent afterwards are served."""
    gateway.kill("envoy")
    async with asyncio.timeout(120), aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {gateway.api_key}"}
        body = {"model": "plain", "messages": [{"role": "user", "content": "hi"}]}
        while True:
            try:
                url = f"{gateway.base_url}/chat/completions"
                async with session.post(url, json=body, headers=headers) as answer:
                    if answer.status == 200:
                        break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)  # nothing to await: nobody listens


async def in_sync(gateway: GatewayProcess) -> None:
    """Waits until the control plane knows both clients and has nothing to send them."""
    async with asyncio.timeout(IN_SYNC_SECONDS):
        while True:
            done = await asyncio.to_thread(gateway.run, "status", "--output", "json", check=False)
            if done.returncode == 0:
                rows = json.loads(done.stdout)["clients"]
                if {row["kind"] for row in rows} == {"envoy", "translator"} and all(
                    row["connected"] and row["state"] == "in sync" for row in rows
                ):
                    return


async def envoy_counters(gateway: GatewayProcess) -> dict[str, int]:
    """Returns how often Envoy accepted a push of listeners and clusters."""
    connector = aiohttp.UnixConnector(path=str(gateway.data_dir / "run/envoy-admin.sock"))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://envoy/stats") as answer:
        lines = (line.partition(": ") for line in (await answer.text()).splitlines())
        return {name: int(value) for name, _, value in lines if name in PUSHES}
