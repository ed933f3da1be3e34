"""Changes by `apply`: exact, quick, without lost requests, and refused with a reason."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.load import Load
from tests.gateway.process import GatewayProcess


def weighted(config: dict[str, Any], a: int, b: int) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    changed["routes"][0]["targets"][0]["weight"] = a
    changed["routes"][0]["targets"][1]["weight"] = b
    return changed


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [
            {
                "model": "split",
                "targets": [
                    {"provider": "a", "model": "split", "weight": 80},
                    {"provider": "b", "model": "split", "weight": 20},
                ],
            }
        ],
    }


async def served_by(gateway: GatewayProcess, requests: int) -> Counter[str]:
    counted: Counter[str] = Counter()
    body = {"model": "split", "messages": [{"role": "user", "content": "hi"}]}

    async def worker(session: aiohttp.ClientSession, count: int) -> None:
        for _ in range(count):
            async with session.post(f"{gateway.base_url}/chat/completions", json=body) as answer:
                await answer.read()
                assert answer.status == 200
                counted[answer.headers["x-trunkline-target"]] += 1

    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.api_key}"}) as session:
        await asyncio.gather(*(worker(session, requests // 20) for _ in range(20)))
    return counted


async def test_weights_hold_within_two_points(gateway: GatewayProcess) -> None:
    """A correct gateway fails this once in four billion runs: two points are 6.3 standard deviations."""
    counted = await served_by(gateway, 16_000)
    assert sum(counted.values()) == 16_000
    assert abs(counted["a/split"] / 16_000 - 0.80) < 0.02


async def test_a_weight_change_acts_at_once_and_loses_no_request(
    gateway: GatewayProcess, config: dict[str, Any]
) -> None:
    """The change acts within 250 ms of being stored: `apply` returns when every client runs it, and prints how
    long that took.
    """
    async with Load(gateway.base_url, gateway.api_key, "split", rate=100) as load:
        await load.wait_for(50)
        await asyncio.to_thread(gateway.apply, weighted(config, 0, 1))
        returned = time.monotonic()
        await load.wait_for(100, target="b/split")
        after = load.targets(since=returned)
        await asyncio.to_thread(gateway.apply, config)
    assert not load.problems
    assert set(after) == {"b/split"}


async def test_a_refused_change_is_reported_and_traffic_goes_on(
    gateway: GatewayProcess, config: dict[str, Any]
) -> None:
    broken = copy.deepcopy(config)
    broken["providers"][1]["base_url"] = "https://127.0.0.1:1/v1"
    broken["providers"][1]["ca_file"] = "/nowhere/ca.pem"
    async with Load(gateway.base_url, gateway.api_key, "split", rate=50) as load:
        await load.wait_for(20)
        done = await asyncio.to_thread(gateway.apply, broken, check=False)
        await load.wait_for(50)
        status = await asyncio.to_thread(gateway.run, "status")
        await asyncio.to_thread(gateway.apply, config)
        await load.wait_for(20)
    assert done.returncode == 2
    for reported in (done.stdout + done.stderr, status.stdout):
        assert "envoy-local" in reported
        assert "b/split" in reported
        assert "/nowhere/ca.pem" in reported
    assert not load.problems
    assert "  refused  " in status.stdout
    assert "  refused  " not in gateway.run("status").stdout


def test_status_names_every_client_with_its_version(gateway: GatewayProcess) -> None:
    rows = json.loads(gateway.run("status", "--output", "json").stdout)["clients"]
    software = {row["client"]: row["software"] for row in rows}
    assert software["envoy-local"].startswith("envoy 1.")
    assert software["translator-local"].startswith("trunkline-translator ")
