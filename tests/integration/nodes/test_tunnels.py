"""Requests through the tunnels that nodes opened, by the real Envoy with two workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.fakes.node import Node
from tests.fakes.provider_process import ProviderProcess
from tests.integration.nodes.edge import WORKERS, Edge, bearer, chat, through_tunnel
from tests.waiting import until, until_answered
from xds_server.model import NodesTarget, ProviderTarget, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")
NodeId = Callable[[], str]


def nodes_then_provider(model: str) -> Route:
    return Route(f"rt_{model}", model, (NodesTarget(model), ProviderTarget("a", model, tier=1)))


async def test_a_request_goes_through_a_nodes_tunnel(edge: Edge, model: str, node_id: NodeId) -> None:
    async with Node(name := node_id(), edge.node_tls(name)) as node:
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
        await edge.fill(through_tunnel(model, name))

        async def every_worker_has_one() -> bool:
            assert await edge.targets("k1", model, 1) == [f"nodes/{model}"]
            return {seen.connection for seen in node.seen} == set(range(WORKERS))

        await until_answered(every_worker_has_one)
    headers = node.seen[0].headers
    assert (headers[":path"], headers[":authority"]) == ("/v1/chat/completions", name)
    assert headers["x-trunkline-node"] == name
    assert not headers.keys() & {"authorization", "x-trunkline-own", "x-trunkline-affinity", "x-trunkline-route"}
    assert json.loads(node.seen[0].body).keys() == chat(model).keys()


async def test_a_stream_comes_event_by_event(edge: Edge, model: str, node_id: NodeId) -> None:
    async with Node(name := node_id(), edge.node_tls(name), events=2) as node:
        node.pace = None
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
        await edge.fill(through_tunnel(model, name))
        body = chat(model, stream=True)
        async with (
            aiohttp.ClientSession(headers=bearer("k1")) as session,
            session.post(edge.url, json=body) as answer,
        ):
            assert b'"content": "0"' in await answer.content.readuntil(b"\n\n")
        async with asyncio.timeout(60):
            await node.seen[0].reset.wait()  # the request ends with its client


async def test_a_long_stream_arrives_whole(edge: Edge, model: str, node_id: NodeId) -> None:
    async with Node(name := node_id(), edge.node_tls(name), events=5_000) as node:
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
        await edge.fill(through_tunnel(model, name))
        answer = await edge.ask("k1", model, stream=True)
    events = answer.body.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    contents = [json.loads(each[6:])["choices"][0]["delta"]["content"] for each in events[:-2]]
    assert contents == [str(number) for number in range(5_000)]


async def test_a_node_is_not_sent_faster_than_the_client_reads(edge: Edge, model: str, node_id: NodeId) -> None:
    async with Node(name := node_id(), edge.node_tls(name), events=200_000) as node:
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
        await edge.fill(through_tunnel(model, name))
        body = chat(model, stream=True)
        async with (
            aiohttp.ClientSession(headers=bearer("k1"), read_bufsize=1024) as session,
            session.post(edge.url, json=body) as answer,
        ):
            await answer.content.readuntil(b"\n\n")
            async with asyncio.timeout(60):
                await node.held_up.wait()
            assert node.sent < 8 * 1024 * 1024


async def test_without_a_tunnel_the_provider_answers_the_same_request(
    edge: Edge, provider: ProviderProcess, model: str, node_id: NodeId
) -> None:
    await edge.publish(nodes_then_provider(model))
    await edge.fill(through_tunnel(model, node_id(), own=True))
    provider.clear()
    answer = await edge.ask("k1", model)
    assert (answer.status, answer.headers["x-trunkline-target"]) == (200, f"a/{model}")
    assert answer.headers["x-trunkline-attempts"] == "2"
    (seen,) = provider.requests()
    assert not [name for name, _ in seen.headers if name.lower().startswith(("x-trunkline", "x-envoy"))]
    assert seen.header("authorization") == "Bearer sk-provider-a"


async def test_a_node_that_is_switched_off_costs_no_request(edge: Edge, model: str, node_id: NodeId) -> None:
    await edge.publish(nodes_then_provider(model))
    async with Node(name := node_id(), edge.node_tls(name)) as node:
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.fill(through_tunnel(model, name))
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
    assert set(await edge.targets("k1", model)) == {f"a/{model}"}


async def test_a_node_that_cannot_now_is_backed_up_by_the_provider(
    edge: Edge, provider: ProviderProcess, model: str, node_id: NodeId
) -> None:
    await edge.publish(nodes_then_provider(model))
    async with Node(name := node_id(), edge.node_tls(name), status=503) as node:
        await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.fill(through_tunnel(model, name, own=True))
        provider.clear()
        assert set(await edge.targets("k1", model, 2)) == {f"a/{model}"}
    assert node.seen[0].headers["x-trunkline-own"] == "1"
    for seen in provider.requests():
        assert not [key for key, _ in seen.headers if key.lower().startswith("x-trunkline")]
        assert name not in repr(seen.headers)


async def test_goaway_moves_new_requests_to_the_next_tunnel(edge: Edge, model: str, node_id: NodeId) -> None:
    """Running requests finish on the old tunnel."""
    await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
    async with Node(name := node_id(), edge.node_tls(name), events=20) as node:
        await node.open_tunnels(edge.tunnel, 2 * WORKERS)
        await edge.fill(through_tunnel(model, name))
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        first = {seen.connection for seen in node.seen}
        node.pace = 0.05
        running = [asyncio.create_task(edge.ask("k1", model, stream=True)) for _ in range(4)]
        begun = len(node.seen) + len(running)
        await until(lambda: len(node.seen) >= begun)
        for number in first:
            node.connections[number].go_away()
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        assert not first & {seen.connection for seen in node.seen[begun:]}
        for answer in await asyncio.gather(*running):
            assert answer.status == 200
            assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_idle_tunnels_are_pinged(edge: Edge, node_id: NodeId) -> None:
    async with Node(name := node_id(), edge.node_tls(name)) as node:
        await node.open_tunnels(edge.tunnel, 1)
        await until(lambda: node.pings)
        assert not node.connections[0].ended.is_set()


@pytest.mark.slow
async def test_a_frozen_node_is_found_out(edge: Edge, model: str, node_id: NodeId) -> None:
    """Pings detect it within 10 s: the tunnel's own while it is idle, those of HTTP/2 while it streams."""
    idle, streaming = f"{model}-idle", f"{model}-streaming"
    await edge.publish(*(nodes_then_provider(each) for each in (idle, streaming)))
    async with AsyncExitStack() as stack:
        names = (node_id(), node_id())
        nodes = [await stack.enter_async_context(Node(name, edge.node_tls(name))) for name in names]
        for node in nodes:
            node.pace = None
            await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.fill(through_tunnel(idle, names[0]), through_tunnel(streaming, names[1]))
        body = chat(streaming, stream=True)
        async with (
            aiohttp.ClientSession(headers=bearer("k1")) as session,
            session.post(edge.url, json=body) as answer,
        ):
            await answer.content.readuntil(b"\n\n")
            for node in nodes:
                node.freeze()
            async with asyncio.timeout(60):
                with pytest.raises(aiohttp.ClientPayloadError):  # never silently short
                    await answer.read()

        async def none_left() -> bool:
            return not await edge.nodes_with_tunnels()

        await until_answered(none_left)
        for each in (idle, streaming):
            async with asyncio.timeout(60):
                assert set(await edge.targets("k1", each)) == {f"a/{each}"}
