"""Traffic goes to the target that a route's strategy finds best, by measurements of the traffic itself."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.waiting import until_answered

pytestmark = pytest.mark.usefixtures("well_behaved")

KEY = "sk-key-of-the-routing-tests"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    def route(strategy: str) -> dict[str, Any]:
        prices = {"a": {"input": 1.0, "output": 1.0}, "b": {"input": 9.0, "output": 9.0}}
        targets = [{"provider": name, "model": "m", "price": price} for name, price in prices.items()]
        return {"model": strategy, "strategy": strategy, "targets": targets}

    # Provider b refuses the second credential.
    two_credentials = {**provider_entry(provider_b), "name": "c"}
    two_credentials["credentials"] = ["env:TEST_KEY_B", "env:TEST_KEY_A"]
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b), two_credentials],
        "routes": [
            route("fastest"),
            route("cheapest"),
            route("balanced"),
            {"model": "credentials", "targets": [{"provider": "c", "model": "m"}]},
        ],
        "organisations": [{"name": "acme", "keys": [{"name": "k", "value": KEY}]}],
    }


async def ask(gateway: GatewayProcess, session: aiohttp.ClientSession, model: str) -> str:
    """Sends one streamed request. Returns the target that served it."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    async with session.post(f"{gateway.base_url}/chat/completions", json=body) as answer:
        await answer.read()
        assert answer.status == 200
        return answer.headers["x-trunkline-target"]


async def until_all_go_to(
    gateway: GatewayProcess, session: aiohttp.ClientSession, model: str, target: str
) -> None:
    """Sends requests until 20 in a row have gone there; the explored share may break a row."""
    async with asyncio.timeout(200):
        row = 0
        while row < 20:
            served = await asyncio.gather(*(ask(gateway, session, model) for _ in range(4)))
            row = row + 4 if set(served) == {target} else 0


async def explained(gateway: GatewayProcess, model: str) -> dict[str, dict[str, Any]]:
    """Returns the rows of `trunkline routes explain`, by target."""
    done = await asyncio.to_thread(gateway.run, "routes", "explain", model, "--output", "json")
    return {each["target"]: each for each in json.loads(done.stdout)}


async def test_fastest_goes_to_the_quicker_one_and_follows_when_that_changes(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        await provider_a.abehave("slow", delay_ms=1_000)
        await until_all_go_to(gateway, session, "fastest", "b/m")

        async def is_explained() -> bool:
            """The first slow answers may not be in the ledger yet. The quick target may have been slow once."""
            await ask(gateway, session, "fastest")
            found = await explained(gateway, "fastest")
            slow, quick = found["a/m"], found["b/m"]
            return (
                bool(slow["expected_s"] and quick["expected_s"])
                and slow["expected_s"] > quick["expected_s"]
                and quick["reason"] == "the fastest"
                and slow["reason"].startswith("gets a few requests, to be measured")
            )

        await until_answered(is_explained)
        await provider_a.abehave("ok")
        await provider_b.abehave("slow", delay_ms=2_000)
        await until_all_go_to(gateway, session, "fastest", "a/m")


async def test_cheapest_goes_by_price_from_the_first_request_on(gateway: GatewayProcess) -> None:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        assert [await ask(gateway, session, "cheapest") for _ in range(10)] == ["a/m"] * 10
    found = await explained(gateway, "cheapest")
    assert [each["share"] for each in found.values()] == ["100 %", "0 %"]
    assert found["b/m"]["cost_usd"] == pytest.approx(9 * found["a/m"]["cost_usd"])


async def test_balanced_takes_the_dearer_one_where_the_other_is_much_slower(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
        await until_all_go_to(gateway, session, "balanced", "a/m")
        await provider_a.abehave("slow", delay_ms=3_000)
        await until_all_go_to(gateway, session, "balanced", "b/m")


async def test_a_refused_credential_is_shown_beside_the_one_that_serves(gateway: GatewayProcess) -> None:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session, asyncio.timeout(120):
        while True:
            assert await ask(gateway, session, "credentials") == "c/m"
            first, second = (await explained(gateway, "credentials"))["c/m"]["credentials"]
            if second["attempts"] and first["attempts"]:
                break
    assert (first["target"], first["reason"]) == ("c/m#1", "")
    assert second["target"] == "c/m#2"
    # It is tried again after half a minute.
    assert re.fullmatch(r"failed (once|twice|\d+ times) since it served last", second["reason"])
    done = await asyncio.to_thread(gateway.run, "usage", "export")
    failed = [attempt for line in done.stdout.splitlines() for attempt in json.loads(line)["failed_attempts"]]
    assert {(each["target_id"], each["credential_index"]) for each in failed if each["status"] == 401} == {
        ("c/m", 1)
    }
