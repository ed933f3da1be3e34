"""A node that freezes (SIGSTOP) delays requests only briefly: it is detected, replaced within the request, and
used again later.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.load import Load
from tests.gateway.nodes.asking import figure, first_answer
from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.process import GatewayProcess

PLAIN, STREAM = "lab", "paced-50-20"
FIRST_BYTE_SECONDS = 4.0
#: Seconds that a busy machine may add. Without the limit a request would wait for 300 s.
SLACK_SECONDS = 30.0
DETECTED_SECONDS = 120.0


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {
                "model": model,
                "targets": [{"nodes": model}, {"provider": "a", "model": model, "tier": 1}],
                "timeouts": {"first_byte": f"{FIRST_BYTE_SECONDS:g}s"},
            }
            for model in (PLAIN, STREAM)
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("streams", [0, 5], ids=["idle", "streaming"])
async def test_a_frozen_node_holds_nobody_up(gateway: GatewayProcess, tmp_path: Path, streams: int) -> None:
    with (
        ProviderProcess("lab", models=[PLAIN, STREAM]) as server,
        NodeProcess(
            gateway, tmp_path / "node", server.base_url.removesuffix("/v1"), name=f"with-{streams}"
        ) as node,
    ):
        await first_answer(gateway, STREAM, target=f"nodes/{STREAM}")
        load = Load(gateway.base_url, gateway.api_key, PLAIN, rate=20, streams=streams, stream_model=STREAM)
        if streams:
            async with load:
                await load.wait_for(20, target=f"nodes/{PLAIN}")
                frozen = await freeze(node, load)
        else:
            await asyncio.to_thread(node.await_online)
            frozen = time.monotonic()
            node.freeze()
            async with load:
                await freeze(node, load, frozen)
        # A stream that ran on the node breaks visibly; later requests are served by another target.
        late = [each for each in [*load.outcomes, *load.stream_outcomes] if each.started > frozen]
        assert late
        assert not [each for each in late if each.problem]
        assert not [each for each in load.outcomes if each.problem]
        slowest = max(each.duration for each in load.outcomes)
        figure("slowest request", slowest, "s")
        assert slowest < FIRST_BYTE_SECONDS + SLACK_SECONDS
        await asyncio.to_thread(gateway.run, "nodes", "remove", node.node_id)


async def freeze(node: NodeProcess, load: Load, since: float = 0.0) -> float:
    """Freezes the node until that is detected, thaws it, and waits until it serves again. Returns when it was
    frozen, if it was not since `since`.
    """
    frozen = since or time.monotonic()
    if not since:
        node.freeze()
    await load.wait_for(10, target=f"a/{PLAIN}")
    await asyncio.to_thread(node.await_seen, lambda seen: seen["state"] == "unhealthy", DETECTED_SECONDS)
    found_out = time.monotonic() - frozen
    figure("frozen node found out after", found_out, "s")
    await load.wait_for(20, target=f"a/{PLAIN}")
    thawed = time.monotonic()
    node.thaw()
    await load.wait_for(1, target=f"nodes/{PLAIN}")
    back = time.monotonic() - thawed
    figure("thawed node serves again after", back, "s")
    await load.wait_for(20, target=f"nodes/{PLAIN}")
    return frozen
