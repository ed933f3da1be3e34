"""Tunnels and serving with the real Envoy in front: reverse tunnels, two workers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import aiohttp
import pytest

from node_sidecar.serving.gate import Gate
from node_sidecar.serving.service import MAX_BODY, Service
from node_sidecar.tunnel.tunnels import Tunnels
from tests.fakes.provider_process import ProviderProcess
from tests.node_sidecar.support.envoy import WORKERS, EnvoyProcess
from tests.node_sidecar.support.node import settled
from tests.node_sidecar.support.pki import NODE, Authority
from tests.node_sidecar.support.upstreams import Local, Models
from tests.waiting import until, until_answered

pytestmark = pytest.mark.envoy

TUNNELS = 2 * WORKERS


class Gateway:
    """Envoy, a node behind it, and a client in front of it."""

    def __init__(self, envoy: EnvoyProcess, gate: Gate, tunnels: Tunnels, session: aiohttp.ClientSession) -> None:
        self.envoy = envoy
        self.gate = gate
        self.tunnels = tunnels
        self._session = session

    def chat(self, model: str = "m", *, stream: bool = False, close: bool = False) -> _Request:
        """Returns a request as a context manager. With `close`, it has a connection of its own, and so maybe
        another worker.
        """
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
        return self.post(json.dumps(body).encode(), {"connection": "close"} if close else {})

    def post(self, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> _Request:
        url = f"http://127.0.0.1:{self.envoy.port}/v1/chat/completions"
        named = {"x-trunkline-node": NODE, "content-type": "application/json", **headers}
        return self._session.post(url, data=BytesIO(body), headers=named)

    async def reached(self) -> None:
        """Waits until the node has all its tunnels, and each of Envoy's workers has taken over one of them."""
        await until(lambda: self.tunnels.connected >= TUNNELS)

        async def known() -> bool:
            found = await asyncio.to_thread(self.envoy.stats, "reverse_tunnel_acceptor.worker_.*total_nodes")
            return list(found.values()) == [1] * WORKERS

        await until_answered(known)

    async def status(self) -> int:
        async with self.chat(close=True) as response:
            await response.read()
            return response.status


_Request = aiohttp.client._RequestContextManager


@pytest.fixture
async def gateway(tmp_path: Path, provider: ProviderProcess) -> AsyncIterator[Gateway]:
    authority = Authority(tmp_path)
    context = authority.client(NODE)
    gate = Gate(64, 64)
    service = Service(Models(Local(provider.base_url)), gate)
    async with EnvoyProcess(tmp_path, authority) as envoy, aiohttp.ClientSession() as session:
        address = ("127.0.0.1", envoy.tunnel_port)
        tunnels = Tunnels(address, lambda: context, service, node_id=NODE, count=TUNNELS)
        task = asyncio.create_task(tunnels.run())
        made = Gateway(envoy, gate, tunnels, session)
        await made.reached()
        yield made
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await service.close()


async def test_every_worker_reaches_the_node(gateway: Gateway) -> None:
    statuses = [await gateway.status() for _ in range(40)]
    assert statuses == [200] * 40
    tunnels = await asyncio.to_thread(gateway.envoy.stats, "reverse_tunnel_acceptor.worker_.*total_nodes")
    assert list(tunnels.values()) == [1] * WORKERS


async def test_fifty_thousand_events_arrive_complete_and_in_order(
    gateway: Gateway, provider: ProviderProcess
) -> None:
    async with gateway.chat("paced-50000-0", stream=True) as response:
        events = [line for line in (await response.read()).split(b"\n\n") if line]
    assert events[-1] == b"data: [DONE]"
    pieces = [json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"] for event in events[:-1]]
    assert sum(piece.get("content") == "word " for piece in pieces) == 50_000


async def test_a_large_request_passes_whole(gateway: Gateway, provider: ProviderProcess) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 20_000_000}]}).encode()
    async with gateway.post(body) as response:
        assert response.status == 200
    (seen,) = await provider.arequests()
    assert (seen.body_bytes, seen.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())


async def test_a_request_that_is_refused_early_leaves_the_tunnel_in_use(
    gateway: Gateway, provider: ProviderProcess
) -> None:
    for _ in range(5):
        async with gateway.post(b" " * (MAX_BODY + 1_000_000)) as response:
            assert response.status == 413
            assert (await response.json())["error"]["code"] == "request_too_large"
    async with gateway.chat() as response:
        assert response.status == 200
    active = await asyncio.to_thread(gateway.envoy.stats, "cluster.nodes.upstream_cx_destroy$")
    assert active == {"cluster.nodes.upstream_cx_destroy": 0}


async def test_a_client_that_leaves_is_gone_from_the_local_server(
    gateway: Gateway, provider: ProviderProcess
) -> None:
    async with gateway.chat("paced-100000-20", stream=True) as response:
        await response.content.readany()
        response.close()
    assert await provider.await_for("disconnects", 1)
    await gateway.gate.idle()
    assert await gateway.status() == 200


async def test_a_slow_client_stops_the_local_server(gateway: Gateway, provider: ProviderProcess) -> None:
    await provider.abehave("ok", events=400, event_bytes=1_000_000)
    tracemalloc.start()
    async with gateway.chat(stream=True) as response:
        sent = await settled(provider)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sent < 40, "megabytes in Envoy's and the sockets' buffers"
        assert held < 8_000_000
        received = 0
        while received < 60_000_000:
            received += len(await response.content.readany())
        response.close()


async def test_drain_with_twenty_streams(gateway: Gateway, provider: ProviderProcess) -> None:
    began: list[None] = []

    async def read() -> bytes:
        async with gateway.chat("paced-30-50", stream=True, close=True) as response:
            first = await response.content.readany()
            began.append(None)
            return first + await response.read()

    streams = [asyncio.create_task(read()) for _ in range(20)]
    await until(lambda: len(began) == 20)
    gateway.gate.drain()
    gateway.tunnels.drain()
    # First 503 of the node itself, then of Envoy, which has no tunnel left.
    assert await gateway.status() == 503
    bodies = await asyncio.gather(*streams)
    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)
    assert {body.count(b'"word "') for body in bodies} == {30}
    await gateway.gate.idle()
    await gateway.tunnels.drained()
    assert (await provider.acounters())["requests"] == 20
    gateway.gate.resume()
    gateway.tunnels.resume()
    await gateway.reached()
    assert await gateway.status() == 200


async def test_a_local_server_that_dies_midway_is_seen_by_the_client(
    gateway: Gateway, provider: ProviderProcess
) -> None:
    await provider.abehave("die_mid_stream", after_events=3)
    async with gateway.chat(stream=True) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_local_server_that_is_away_is_reported(gateway: Gateway, provider: ProviderProcess) -> None:
    await provider.abehave("refuse")
    async with gateway.chat() as response:
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "local_server_unreachable"


async def test_a_killed_envoy_has_its_tunnels_again(gateway: Gateway, provider: ProviderProcess) -> None:
    async with gateway.chat("paced-100000-20", stream=True) as response:
        await response.content.readany()
        gateway.envoy.kill()
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    assert await provider.await_for("disconnects", 1)
    await until(lambda: gateway.tunnels.connected == 0)
    await gateway.envoy.start()
    await gateway.reached()
    assert await gateway.status() == 200


@pytest.mark.slow
async def test_a_frozen_envoy_is_given_up_and_found_again(gateway: Gateway, provider: ProviderProcess) -> None:
    """One tunnel has a stream, the others are idle: the node gives up all of them, some ten seconds later."""
    async with gateway.chat("paced-100000-20", stream=True) as response:
        await response.content.readany()
        gateway.envoy.freeze()
        await until(lambda: gateway.tunnels.connected == 0)
        assert await provider.await_for("disconnects", 1), "no client waits for this answer any more"
        gateway.envoy.thaw()
        response.close()
    await gateway.reached()
    assert await gateway.status() == 200
