"""A node that is drained by its operator or its owner finishes every stream and accepts nothing new."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.nodes.asking import Answer, ask, first_answer
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.process import GatewayProcess

STREAMS, EVENTS = 20, 80
MODEL = f"paced-{EVENTS}-10"
HERE, ELSEWHERE = f"nodes/{MODEL}", f"a/{MODEL}"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    targets = [{"nodes": MODEL}, {"provider": "a", "model": MODEL, "tier": 1}]
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        # Streams stand still until the commands of a test have run.
        "routes": [{"model": MODEL, "targets": targets, "timeouts": {"idle": "240s"}}],
    }


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderProcess]:
    with ProviderProcess("lab", models=[MODEL]) as running:
        yield running


@pytest.fixture(scope="module")
def node(
    gateway: GatewayProcess, server: ProviderProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    state: Path = tmp_path_factory.mktemp("node") / "state"
    upstream = server.base_url.removesuffix("/v1")
    with NodeProcess(gateway, state, upstream, join=["--concurrency", "32"]) as joined:
        yield joined


async def begun(gateway: GatewayProcess, node: NodeProcess, server: ProviderProcess) -> list[asyncio.Task[Answer]]:
    """Starts this many streams, all of which run on the node until `are_whole`."""
    await first_answer(gateway, MODEL, target=HERE)
    await server.abehave("held")
    streams = [asyncio.create_task(ask(gateway, MODEL, stream=True)) for _ in range(STREAMS)]
    async with asyncio.timeout(120):
        while (await asyncio.to_thread(node.status)).get("in_flight", 0) < STREAMS:
            pass
    return streams


async def go_elsewhere(gateway: GatewayProcess) -> None:
    answers = await asyncio.gather(*(ask(gateway, MODEL) for _ in range(10)))
    assert {(each.status, each.target) for each in answers} == {(200, ELSEWHERE)}


async def are_whole(streams: list[asyncio.Task[Answer]], server: ProviderProcess) -> None:
    """Lets the streams go on. Asserts that they are complete, and came from the node."""
    assert not [each for each in streams if each.done()]
    await server.abehave("ok")
    answers = await asyncio.gather(*streams)
    assert {(each.whole, each.target) for each in answers} == {(True, HERE)}
    for each in answers:
        events = [line.removeprefix(b"data: ") for line in each.body.split(b"\n\n") if line]
        content = "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1])
        assert content == "word " * EVENTS


async def test_an_operators_drain(gateway: GatewayProcess, node: NodeProcess, server: ProviderProcess) -> None:
    streams = await begun(gateway, node, server)
    await asyncio.to_thread(gateway.run, "nodes", "drain", node.name)
    await go_elsewhere(gateway)
    seen = await asyncio.to_thread(node.described)
    assert seen["state"] == "draining"
    assert seen["drained"]
    await are_whole(streams, server)
    await go_elsewhere(gateway)
    assert node.code is None, "the sidecar ended instead of waiting to be resumed"
    await asyncio.to_thread(gateway.run, "nodes", "resume", node.name)
    assert (await first_answer(gateway, MODEL, target=HERE)).status == 200


async def test_an_owners_drain_ends_the_process(
    gateway: GatewayProcess, node: NodeProcess, server: ProviderProcess
) -> None:
    streams = await begun(gateway, node, server)
    draining = asyncio.create_task(asyncio.to_thread(node.verb, "drain"))
    await asyncio.to_thread(node.await_seen, lambda seen: seen["state"] == "draining")
    await go_elsewhere(gateway)
    await are_whole(streams, server)
    done = await draining
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "drained")
    assert await asyncio.to_thread(node.wait) == 0
    await go_elsewhere(gateway)
    node.run()
    assert (await first_answer(gateway, MODEL, target=HERE)).status == 200
