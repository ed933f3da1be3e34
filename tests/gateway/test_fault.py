"""A request that fails everywhere is its own fault, and costs nobody a target. A broken target rests
for a while.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.load import Load
from tests.gateway.process import GatewayProcess

pytestmark = pytest.mark.usefixtures("well_behaved")
ATTACKS = 24
AT_ONCE = 8
#: How targets break in the tests that make them rest.
BREAKS = ("status:500", "status:401", "reset", "hang", "status:503")


def own(mode: str) -> str:
    """Returns the name of a break's own provider, whose rest concerns no other test."""
    return f"a-{mode.replace(':', '-')}"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    def route(model: str, *names: str) -> dict[str, Any]:
        targets = [{"provider": name, "model": "m", "tier": tier} for tier, name in enumerate(names)]
        return {"model": model, "targets": targets, "timeouts": {"first_byte": "5s", "connect": "5s"}}

    return {
        "version": 1,
        "providers": [
            provider_entry(provider_a),
            provider_entry(provider_b),
            *({**provider_entry(provider_a), "name": own(mode)} for mode in BREAKS),
        ],
        "routes": [
            route("both", "a", "b"),
            route("one", "a"),
            route("other", "b"),
            *(route(f"{own(mode)}-b", own(mode), "b") for mode in BREAKS),
            *(route(f"{own(mode)}-lone", own(mode)) for mode in BREAKS),
        ],
        "organisations": [
            {"name": "attacker", "keys": [{"name": "k", "value": "attacker-key-0123456789"}]},
            {"name": "victim", "keys": [{"name": "k", "value": "victim-key-0123456789"}]},
        ],
    }


async def attack(gateway: GatewayProcess, fault: str) -> list[int]:
    """Sends failing requests. Returns their statuses."""
    statuses: list[int] = []
    headers = {"authorization": "Bearer attacker-key-0123456789"}
    body = {"model": "both", "messages": [{"role": "user", "content": "x"}], "user": fault}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one() -> None:
            async with session.post(f"{gateway.base_url}/chat/completions", json=body) as answer:
                await answer.read()
                statuses.append(answer.status)

        for _ in range(ATTACKS // AT_ONCE):
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))
    return statuses


@pytest.mark.parametrize(
    ("fault", "status"),
    [("fault:status:500", 500), ("fault:status:501", 501), ("fault:status:503", 503), ("fault:slow:60000", 504)],
)
async def test_nobody_else_is_refused_for_a_request_that_fails_everywhere(
    gateway: GatewayProcess, provider_a: ProviderProcess, fault: str, status: int
) -> None:
    async def load(model: str) -> Load:
        return Load(gateway.base_url, "victim-key-0123456789", model, rate=10)

    async with await load("both") as both, await load("one") as one, await load("other") as other:
        for each in (both, one, other):
            await each.wait_for(5)
        assert set(await attack(gateway, fault)) == {status}
        for each in (both, one, other):
            await each.wait_for(10)
    assert not [*both.problems, *one.problems, *other.problems]
    assert set(both.targets()) == {"a/m"}, "the first target was never given up"


async def test_what_no_target_can_do_is_asked_of_one(gateway: GatewayProcess, provider_b: ProviderProcess) -> None:
    before = provider_b.counters()["requests"]
    assert set(await attack(gateway, "fault:status:501")) == {501}
    assert provider_b.counters()["requests"] == before


@pytest.mark.parametrize("mode", BREAKS[:-1])
async def test_a_broken_target_is_passed_over_after_three_requests_and_probed(
    gateway: GatewayProcess, provider_a: ProviderProcess, mode: str
) -> None:
    first = f"{own(mode)}/m"
    async with Load(gateway.base_url, "victim-key-0123456789", f"{own(mode)}-b", rate=20) as load:
        await load.wait_for(10, target=first)
        await provider_a.abehave(mode)
        await load.wait_for(20, target="b/m")
        rests = provider_a.counters()["requests"]
        await load.wait_for(20, target="b/m")
        assert provider_a.counters()["requests"] - rests <= 20, "the target was tried while it rested"
        await provider_a.abehave("ok")
        await load.wait_for(20, target=first, within=200)
    assert not load.problems


async def test_the_last_target_is_asked_whatever_it_answered(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """The target rests for a route whose other target serves; the route without another one still uses it."""
    mode = BREAKS[-1]
    await provider_a.abehave(mode)
    async with Load(gateway.base_url, "victim-key-0123456789", f"{own(mode)}-b", rate=20) as load:
        await load.wait_for(20, target="b/m")
    await provider_a.abehave("ok")
    async with Load(gateway.base_url, "victim-key-0123456789", f"{own(mode)}-lone", rate=20) as alone:
        await alone.wait_for(10)
    assert not alone.problems
    assert set(alone.targets()) == {f"{own(mode)}/m"}
