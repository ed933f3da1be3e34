"""Whatever happens to an upstream before its first byte costs its clients only time."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.load import Load, Outcome
from tests.gateway.process import GatewayProcess
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("well_behaved")
#: Longer than a healthy provider takes on a busy machine: its own time-out would be a failure.
FIRST_BYTE_SECONDS = 5.0
CONNECT_SECONDS = 2.0
#: Two attempts at the dead target's limit, and a busy machine. Without the limit a request would wait for 300 s.
MOST_EXTRA_SECONDS = 2 * FIRST_BYTE_SECONDS + 30.0


#: A stream that does not end before its target dies.
ENDLESS = "paced-6000-100"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    def route(model: str, upstream: str) -> dict[str, Any]:
        return {
            "model": model,
            "targets": [
                {"provider": "a", "model": upstream},
                {"provider": "b", "model": upstream, "tier": 1},
            ],
            "timeouts": {"first_byte": f"{FIRST_BYTE_SECONDS:g}s", "connect": f"{CONNECT_SECONDS:g}s"},
        }

    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [
            route("plain", "plain"),
            route("stream", "paced-10-100"),
            route("endless", ENDLESS),
            {"model": "lone", "targets": [{"provider": "a", "model": "lone"}]},
            {"model": "limited", "targets": [{"provider": "a", "model": "limited"}]},
        ],
    }


def load_on(gateway: GatewayProcess) -> Load:
    return Load(gateway.base_url, gateway.api_key, "plain", rate=50, streams=20, stream_model="stream")


async def back_to(load: Load, target: str) -> None:
    """Waits until traffic returns: the rest lasts 5 s at first, and 60 s after some failures in a row."""
    await load.wait_for(25, target=target, within=200)


@pytest.mark.parametrize(
    ("mode", "parameters"),
    [
        ("status:429", {}),
        ("status:500", {}),
        ("status:503", {}),
        ("status:401", {}),
        ("reset", {}),
        ("hang", {}),
        ("trickle_headers", {}),
    ],
)
async def test_a_misbehaving_target_costs_time_and_nothing_else(
    gateway: GatewayProcess, provider_a: ProviderProcess, mode: str, parameters: dict[str, Any]
) -> None:
    async with load_on(gateway) as load:
        await back_to(load, "a/plain")
        await provider_a.abehave(mode, **parameters)
        await load.wait_for(60, target="b/plain")
        await provider_a.abehave("ok")
        await back_to(load, "a/plain")
    assert not load.problems
    assert max(each.duration for each in load.outcomes) < MOST_EXTRA_SECONDS


async def test_a_killed_target_costs_time_and_nothing_else(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """Streams that a was serving end visibly broken, because their first byte had been sent."""
    async with load_on(gateway) as load:
        await back_to(load, "a/plain")
        endless: list[asyncio.Task[Outcome]] = []
        while load.streaming[f"a/{ENDLESS}"] < 5:  # b has some if a's share still grows after an earlier test
            endless.append(asyncio.create_task(load.stream("endless")))
            await until(lambda: sum(load.streaming[f"{name}/{ENDLESS}"] for name in "ab") == len(endless))
        await asyncio.to_thread(provider_a.kill)
        killed = time.monotonic()  # a stream that began a moment before may have begun at a
        await load.wait_for(60, target="b/plain")
        await until(lambda: sum(each.done() for each in endless) >= 5)
        broken = [each.result() for each in endless if each.done()]
        for each in endless:
            each.cancel()
        await asyncio.to_thread(provider_a.start)
        await back_to(load, "a/plain")
    assert not [each for each in load.outcomes if each.problem]
    assert not [each for each in load.stream_outcomes if each.problem and each.started > killed]
    assert len(broken) == 5
    assert all(each.problem for each in broken)
    assert max(each.duration for each in load.outcomes) < MOST_EXTRA_SECONDS


async def test_a_frozen_target_costs_time_and_nothing_else(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """After SIGSTOP, the kernel accepts connections, but nobody answers."""
    async with load_on(gateway) as load:
        await back_to(load, "a/plain")
        provider_a.freeze()
        await load.wait_for(60, target="b/plain")
        provider_a.thaw()
        await back_to(load, "a/plain")
    assert not [each for each in load.outcomes if each.problem]
    assert max(each.duration for each in load.outcomes) < MOST_EXTRA_SECONDS


async def test_a_target_that_drops_syn_packets_costs_the_connect_limit(
    gateway: GatewayProcess, config: dict[str, Any]
) -> None:
    """A listener whose accept queue is full leaves SYN packets unanswered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        black_hole = {"name": "hole", "base_url": f"http://127.0.0.1:{port}/v1"}
        route = {
            "model": "holed",
            "targets": [
                {"provider": "hole", "model": "plain"},
                {"provider": "b", "model": "plain", "tier": 1},
            ],
            "timeouts": {"connect": f"{CONNECT_SECONDS}s"},
        }
        gateway.apply(
            {
                **config,
                "providers": [*config["providers"], black_hole],
                "routes": [*config["routes"], route],
            }
        )
        async with Load(gateway.base_url, gateway.api_key, "holed", rate=50) as load:
            await load.wait_for(100)
        for filler in fillers:
            filler.close()
    gateway.apply(config)
    assert not load.problems
    assert set(load.targets()) == {"b/plain"}
    assert max(each.duration for each in load.outcomes) < CONNECT_SECONDS + 30.0


async def test_with_every_target_down_the_answer_is_a_clear_503_at_once(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    await asyncio.to_thread(provider_a.kill)
    await asyncio.to_thread(provider_b.kill)
    try:
        async with Load(gateway.base_url, gateway.api_key, "plain", rate=20) as load:
            await load.wait_for(40)
    finally:
        await asyncio.to_thread(provider_a.start)
        await asyncio.to_thread(provider_b.start)
    last = load.outcomes[-1]
    assert {each.status for each in load.outcomes} == {503}
    assert '"code":"no_healthy_upstream"' in last.problem
    assert last.retry_after
    assert last.duration < MOST_EXTRA_SECONDS
    async with Load(gateway.base_url, gateway.api_key, "plain", rate=20) as load:
        await back_to(load, "a/plain")


async def test_a_lone_targets_own_error_reaches_the_client(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:429", retry_after="7")
    async with Load(gateway.base_url, gateway.api_key, "limited", rate=0) as load:
        outcome = await load.request()
    assert (outcome.status, outcome.retry_after) == (429, "7")


async def test_a_refused_credential_is_not_blamed_on_the_client(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:401")
    async with Load(gateway.base_url, gateway.api_key, "lone", rate=0) as load:
        outcome = await load.request()
    assert outcome.status == 502
    assert '"code":"upstream_authentication_failed"' in outcome.problem
