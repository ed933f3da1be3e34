"""kill -9 of any part of the gateway, or of all of it, under load: the ledger has everything that the provider
produced.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.marked_load import MarkedLoad
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled

#: Lifetimes of a supervisor; each begins with its back-off at zero.
LIFETIMES = 5
#: Kills of one service in a lifetime, before all of it is killed: 5 times 3 times 3, and 5, are 50 rounds.
KILLS = 3
#: Requests that are served at least between two kills, and after the last one.
BETWEEN, AFTERWARDS = 5, 50
RATE = 100
PLAIN, STREAM = "plain", "paced-20-10"
#: Micro-USD a token.
PRICE = {"input": 3.0, "output": 7.0}
KEY = "sk-acme-killed-key-1234"
AMOUNT = 10**9


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    def route(model: str) -> dict[str, Any]:
        return {"model": model, "targets": [{"provider": "a", "model": model, "price": PRICE}]}

    # A window of 366 days, so that no midnight begins a new one.
    limits = [{"metric": metric, "per": "366d", "amount": AMOUNT} for metric in ("requests", "tokens")]
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [route(PLAIN), route(STREAM)],
        "organisations": [{"name": "acme", "limits": limits, "keys": [{"name": "ci", "value": KEY}]}],
    }


@asynccontextmanager
async def started(data_dir: Path, config: dict[str, Any]) -> AsyncIterator[GatewayProcess]:
    gateway = GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS)
    await asyncio.to_thread(gateway.start)
    try:
        yield gateway
    finally:
        await asyncio.to_thread(gateway.stop)


async def kill_all(gateway: GatewayProcess) -> None:
    """Kills all processes, the supervisor first because it would restart the others. Starts a new gateway on the
    same data.
    """
    pids = [gateway.pid, *[await gateway.running_pid(name) for name in ("translator", "xds_server", "envoy")]]
    for pid in pids:
        with suppress(ProcessLookupError):  # children die with their supervisor
            os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(gateway.stop)
    await asyncio.to_thread(gateway.start)


async def remaining(gateway: GatewayProcess) -> tuple[int, int]:
    """Returns what limits have left of requests and tokens, without what this request itself reserves."""
    body = json.dumps({"model": PLAIN, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{gateway.base_url}/chat/completions", data=body) as answer,
    ):
        assert answer.status == 200
        await answer.read()
        left = [int(answer.headers[f"x-ratelimit-remaining-{each}"]) for each in ("requests", "tokens")]
    return left[0] + 1, left[1] + len(body) // 4 + 1


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_what_the_provider_produced_is_in_the_ledger_once(
    tmp_path: Path, config: dict[str, Any], provider_a: ProviderProcess
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown where the test fails
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    async with started(tmp_path / "data", config) as gateway:
        async with MarkedLoad(gateway, KEY, (PLAIN, STREAM), RATE, chance) as load:
            for _ in range(LIFETIMES):
                victims = ["translator", "xds_server", "envoy"] * KILLS
                chance.shuffle(victims)
                for victim in victims:
                    await load.wait_for(BETWEEN)
                    await asyncio.sleep(chance.uniform(0.0, 0.6))  # killed at any moment
                    os.kill(await gateway.running_pid(victim), signal.SIGKILL)
                    killed[victim] += 1
                await load.wait_for(BETWEEN)
                await asyncio.sleep(chance.uniform(0.0, 0.6))  # killed at any moment
                await kill_all(gateway)
                killed["all"] += 1
                load.moved()
            await load.wait_for(AFTERWARDS)
        # The start of the next Envoy separates running requests from those admitted just before the last kill of
        # Envoy, and from those that a killed translator had journalled but not answered.
        await asyncio.to_thread(gateway.stop)
        await asyncio.to_thread(gateway.start)
        await settled(gateway)
        records = await exported(gateway)
        produced = await asyncio.to_thread(provider_a.produced)
        verb = ("usage", "report", "--by", "model", "--since", "24h", "--output", "json")
        reported = json.loads((await asyncio.to_thread(gateway.run, *verb)).stdout)
        requests_left, tokens_left = await remaining(gateway)

    expired = sum(each["expired"] for each in records)
    print(f"{load.sent} sent, {len(load.served)} served, {len(produced)} produced, {expired} expired")  # noqa: T201
    rounds = sum(killed.values())
    assert rounds == LIFETIMES * (3 * KILLS + 1) == 50
    whole = {user: 1_000 * (prompt * 3 + completion * 7) for user, prompt, completion in produced}
    assert len(whole) == len(produced) >= rounds * BETWEEN + AFTERWARDS
    assert load.served <= set(whole)
    # The ledger has everything once, identified by request and by facts that only client and provider know.
    assert len({each["id"] for each in records}) == len(records)
    record_of = {each["end_user"]: each for each in records}
    assert len(record_of) == len(records)
    assert sorted(set(whole) - set(record_of)) == []
    # Exact to the nano-USD if Envoy lived to log it; otherwise the reserved amount, with a mark.
    written = {user for user in whole if not record_of[user]["expired"]}
    assert [user for user in written if record_of[user]["estimated"]] == []
    assert {user: record_of[user]["cost_nano_usd"] for user in written} == {user: whole[user] for user in written}
    assert len(written) > len(whole) / 2
    assert all(each["estimated"] for each in records if each["expired"])
    # The reports and the limits have counted the same.
    costs = [Decimal(each["cost_usd"]) for each in reported]
    assert sum(costs) * 10**9 == sum(each["cost_nano_usd"] for each in records)
    assert sum(each["requests"] for each in reported) == len(records)
    assert AMOUNT - requests_left == len(records)
    assert AMOUNT - tokens_left == sum(each["prompt_tokens"] + each["completion_tokens"] for each in records)
