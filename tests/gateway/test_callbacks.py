"""A running Envoy calls each callback that our module declares, because of what clients do.
tests/integration/nodes/test_callbacks.py has those that only nodes need.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.envoy import counting
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS
from tests.gateway.process import GatewayProcess
from tests.waiting import eventually, until_answered


@pytest.fixture
def gateway(tmp_path: Path, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    environment = {**PROVIDER_CREDENTIALS, "CC": str(counting.compiler())}
    with GatewayProcess(tmp_path / "data", config, environment=environment) as running:
        pid = running.service_pid("envoy")
        yield running
    counting.forget(pid)


def cancel(gateway: GatewayProcess, request_id: str) -> None:
    """Cancels a request once the control plane knows it: a translator may call a moment after its start."""
    eventually(lambda: gateway.run("requests", "cancel", request_id, check=False).returncode == 0)


def uncalled(pid: int) -> set[str]:
    """Returns the callbacks that this Envoy has not called, apart from those that need nodes."""
    return {name for name, times in counting.counts(pid).items() if not times} - counting.OF_NODES


async def test_every_callback_is_called(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    pid = gateway.service_pid("envoy")
    url = f"{gateway.base_url}/chat/completions"
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "x"}]}

    async def pieces() -> Any:
        """Yields a body of unknown length in small pieces that are not available at once."""
        for piece in (b'{"model": "gpt-4.1", ', b'"messages": [', b'{"role": "user", "content": "x"}]}'):
            yield piece
            await asyncio.sleep(0.05)  # so that the pieces arrive separately

    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.api_key}"}) as session:
        forged = {"x-trunkline-route": "x"}  # removed by the listener
        async with session.post(url, json=body, headers=forged) as plain:
            assert plain.status == 200
        async with session.post(url, json={**body, "stream": True}) as stream:
            assert (await stream.text()).endswith("data: [DONE]\n\n")
        async with session.post(url, json={**body, "model": "none"}) as refused:
            assert refused.status == 404
        await provider_a.abehave(
            "ok", events=100_000, interval_ms=100
        )  # an operator cancels a request that does not end
        async with session.post(url, json={**body, "stream": True}) as endless:
            await endless.content.readany()
            request_id = endless.headers["x-request-id"]
            await asyncio.to_thread(cancel, gateway, request_id)
            with pytest.raises(aiohttp.ClientError):
                await endless.read()
        await provider_a.abehave("refuse")  # an attempt without an answer
        async with session.post(url, json=body) as missed:
            assert missed.status == 200
        await provider_a.abehave(
            "status", status=401
        )  # b has another name for the model, which replaces the original
        async with session.post(url, json=body) as other:
            assert other.status == 200
        await provider_a.abehave("ok")
        gateway.kill("translator")  # Envoy's log reports it

        async def complete() -> bool:
            """Repeats the body in pieces: they arrive together if Envoy was busy when they were sent."""
            with contextlib.suppress(aiohttp.ClientError):
                async with session.post(url, data=pieces(), headers={"content-type": "application/json"}) as sent:
                    return sent.status == 200 and not uncalled(pid)
            return False

        with contextlib.suppress(TimeoutError):
            await until_answered(complete)
    assert not uncalled(pid)
