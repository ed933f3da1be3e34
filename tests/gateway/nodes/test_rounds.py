"""kill -9 of each part of the way to a node, in turn, under load: everything is restored, and clients hardly
notice.

A request that was not started is one whose connection was accepted by a living Envoy, and whose answer had not
begun: the node or the provider must serve it. Requests that run in an Envoy that is killed are lost with it, and
those that a killed translator was deciding get 503. An answer that had begun ends visibly broken if its node is
killed, never silently short.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.nodes.told_apart import Request, ToldApart
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled

VICTIMS = ("sidecar", "local") * 5 + ("envoy", "xds_server") * 4 + ("translator",) * 2
RATE = 50
PLAIN, STREAM = "plain", "paced-20-10"
#: Seconds after a kill within which the node serves again. Envoy ejects it for 15 s at most. Meanwhile a
#: sidecar starts, a local server is found again, or Envoy is restarted with back-off and the tunnels are reopened.
SERVES_AGAIN = 120.0
#: Seconds after a kill of Envoy until which a connection may still be refused.
ENVOY_BACK = 30.0
#: Seconds that a busy machine may take to end a killed process.
AT_ONCE = 4.0


@pytest.fixture
def local() -> Iterator[ProviderProcess]:
    with ProviderProcess("local", models=[PLAIN, STREAM]) as server:
        yield server


@pytest.fixture
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    """A route with the node first, and the provider if it fails."""

    def route(model: str) -> dict[str, Any]:
        return {"model": model, "targets": [{"nodes": model}, {"provider": "a", "model": model, "tier": 1}]}

    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [route(PLAIN), route(STREAM)],
    }


@pytest.fixture
def gateway(tmp_path: Path, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path / "data", config, environment=PROVIDER_CREDENTIALS) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_twenty_kills(
    tmp_path: Path, gateway: GatewayProcess, local: ProviderProcess, provider_a: ProviderProcess
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown where the test fails
    chance = random.Random(seed)
    victims = list(VICTIMS)
    chance.shuffle(victims)
    killed: dict[str, list[float]] = defaultdict(list)
    took: dict[str, list[float]] = defaultdict(list)
    upstream = local.base_url.removesuffix("/v1")
    with NodeProcess(gateway, tmp_path / "node", upstream) as node:
        await asyncio.to_thread(node.await_online)
        async with ToldApart(gateway, (PLAIN, STREAM), RATE) as load:
            await load.serves(f"nodes/{PLAIN}", time.monotonic(), SERVES_AGAIN)
            for victim in victims:
                await asyncio.sleep(chance.uniform(0.2, 1.0))  # killed at any moment
                await kill_and_restart(victim, gateway, node, local, killed[victim])
                since = killed[victim][-1]
                for model in (PLAIN, STREAM):
                    seconds = await load.serves(f"nodes/{model}", since + 0.1, SERVES_AGAIN)
                took[victim].append(seconds)
            await load.serves(f"nodes/{PLAIN}", time.monotonic(), SERVES_AGAIN)
        # The next Envoy, or time, separates requests that a killed Envoy had not logged from running ones.
        await asyncio.to_thread(gateway.stop)
        await asyncio.to_thread(gateway.start)
        await settled(gateway)
        records = await exported(gateway)
        produced = await asyncio.to_thread(provider_a.produced)

    ends = Counter(outcome(each) for each in load.requests)
    slowest = {victim: round(max(seconds), 1) for victim, seconds in took.items()}
    print(dict(ends), "slowest to serve again:", slowest)  # noqa: T201
    unexplained = [each for each in load.requests if not each.served and not excused(each, killed)]
    assert unexplained == []
    assert [each for each in load.requests if each.cut] == []
    assert sum(each.served for each in load.requests) > 0.5 * len(load.requests)
    assert {each.target for each in load.requests if each.served} == {
        *(f"nodes/{model}" for model in (PLAIN, STREAM)),
        *(f"a/{model}" for model in (PLAIN, STREAM)),
    }
    # The ledger has every request once; those that Envoy could not log are marked.
    record_of = {each["end_user"]: each for each in records}
    assert len(record_of) == len(records) == len({each["id"] for each in records})
    assert {each.marker for each in load.requests if each.served} <= set(record_of)
    assert {user for user, _, _ in produced} <= set(record_of)
    lost = [each for each in load.requests if each.served and record_of[each.marker]["expired"]]
    # Envoy writes its lines every 100 ms, and later on a busy machine.
    assert [each for each in lost if not any(-5 < at - each.ended < 5 for at in killed["envoy"])] == []


async def kill_and_restart(
    victim: str, gateway: GatewayProcess, node: NodeProcess, local: ProviderProcess, killed: list[float]
) -> None:
    """Kills one part, and notes when. The supervisor restarts the gateway's own parts; this function restarts the
    others, like a service manager.
    """
    match victim:
        case "sidecar":
            killed.append(time.monotonic())
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.run)
        case "local":
            killed.append(time.monotonic())
            await asyncio.to_thread(local.kill)
            await asyncio.to_thread(local.start)
        case _:
            pid = await gateway.running_pid(victim)
            killed.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)


def excused(request: Request, killed: dict[str, list[float]]) -> bool:
    """Returns whether the request may have failed in the way it did."""
    if request.status == 0:  # the connection was refused, or nobody accepted it, or its Envoy was killed
        refused = "Connect call failed" in request.broken
        return request.met(killed["envoy"], before=ENVOY_BACK if refused else AT_ONCE)
    if request.status == 200:  # visibly broken after the answer had begun
        return bool(request.broken) and request.met(killed["envoy"] + killed["sidecar"] + killed["local"])
    return request.status == 503 and request.met(killed["translator"], before=AT_ONCE)


def outcome(request: Request) -> str:
    if request.served:
        return f"served by {request.target}"
    return f"{request.status} {'stream' if request.stream else 'plain'} {request.broken[:40]}{request.text[:60]}"
