"""Long streams from client to local server and back: complete, in order, and buffered nowhere in between."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.nodes.asking import ask, figure
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.process import GatewayProcess
from tests.node_sidecar.support.node import settled

EVENTS = 50_000
MIB = 1 << 20
#: Bytes that a slow reader's stream may add to a process: its buffers, and memory that allocators keep.
MORE_MEMORY = 24 * MIB


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return {"version": 1, "routes": [{"model": "lab", "targets": [{"nodes": "lab"}]}]}


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderProcess]:
    with ProviderProcess("lab", models=["lab"]) as running:
        yield running


@pytest.fixture(scope="module")
def node(
    gateway: GatewayProcess, server: ProviderProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeProcess]:
    state: Path = tmp_path_factory.mktemp("node") / "state"
    with NodeProcess(gateway, state, server.base_url.removesuffix("/v1")) as joined:
        joined.await_online()
        yield joined


def memory(pid: int) -> int:
    """Returns the anonymous bytes of a process."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.slow
async def test_fifty_thousand_events_arrive_whole_and_in_order(
    gateway: GatewayProcess, node: NodeProcess, server: ProviderProcess
) -> None:
    await server.abehave("ok", events=EVENTS, numbered=True)
    answer = await ask(gateway, "lab", stream=True)
    assert answer.whole
    figure("events through a tunnel, one stream", EVENTS / answer.seconds, "events/s")
    events = [line.removeprefix(b"data: ") for line in answer.body.split(b"\n\n") if line][:-1]
    words = [json.loads(event)["choices"][0]["delta"].get("content") for event in events]
    assert [word for word in words if word] == [f"{number} " for number in range(EVENTS)]


@pytest.mark.slow
async def test_a_client_that_does_not_read_costs_no_memory(
    gateway: GatewayProcess, node: NodeProcess, server: ProviderProcess
) -> None:
    server.clear()
    await server.abehave("ok", events=400, event_bytes=MIB)
    pids = {"sidecar": node.pid, "Envoy": gateway.service_pid("envoy")}
    before = {name: memory(pid) for name, pid in pids.items()}
    body = {"model": "lab", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    async with (
        aiohttp.ClientSession(headers=headers, read_bufsize=1024) as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body) as response,
    ):
        assert response.status == 200
        sent = await settled(server)
        for name, pid in pids.items():
            more = memory(pid) - before[name]
            figure(f"a stream that nobody reads adds to the {name}", more / MIB, "MiB")
            assert more < MORE_MEMORY
        assert sent < 40, "more of the 400 MiB was sent than the sockets hold"
        received, begun = 0, time.monotonic()
        while received < 60 * MIB:
            received += len(await response.content.readany())
        figure("then it is read with", received / MIB / (time.monotonic() - begun), "MiB/s")
        for name, pid in pids.items():
            more = memory(pid) - before[name]
            figure(f"after 60 MiB of it, it has added to the {name}", more / MIB, "MiB")
            assert more < MORE_MEMORY
        response.close()
