"""The end of a gateway with running requests: it accepts nothing new, requests may finish, the rest
ends visibly.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess
from tests.trunkline.fakes.processes import wait_for_end


@pytest.fixture
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    """A configuration in which `endless` streams for minutes."""
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": "quick", "targets": [{"provider": "a", "model": "paced-30-10"}]},
            {"model": "endless", "targets": [{"provider": "a", "model": "paced-6000-100"}]},
        ],
    }


@pytest.fixture
def gateway(tmp_path: Path, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    arguments = ["--drain-seconds", "200"]
    with GatewayProcess(
        tmp_path / "data", config, environment=PROVIDER_CREDENTIALS, arguments=arguments
    ) as running:
        yield running


@asynccontextmanager
async def streaming(gateway: GatewayProcess, model: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """Starts a stream, and yields once its first bytes have arrived."""
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{gateway.base_url}/chat/completions"
    timeout = aiohttp.ClientTimeout(total=240)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, json=body, headers=headers) as answer,
    ):
        assert answer.status == 200
        assert await answer.content.readany()
        yield answer


async def broken(answer: aiohttp.ClientResponse) -> None:
    """Returns once the answer breaks off; fails if it ends like a complete one."""
    try:
        while await answer.content.readany():
            pass
    except (aiohttp.ClientPayloadError, ConnectionResetError):
        return
    raise AssertionError("ended as if it were whole")


async def refused(gateway: GatewayProcess) -> None:
    """Returns once the clients' listener accepts no connections."""
    async with asyncio.timeout(120):
        while True:
            try:
                _, writer = await asyncio.open_connection(*gateway.address)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # the listener closed at that moment
                continue
            writer.close()
            await asyncio.sleep(0.05)  # nothing announces that a listener closes


async def test_what_runs_finishes_while_nothing_new_is_taken(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    pid = gateway.pid
    await provider_a.abehave("held")
    assert gateway.readyz() == (200, "ready")
    async with streaming(gateway, "quick") as answer:
        os.kill(pid, signal.SIGTERM)
        await refused(gateway)
        code, said = await asyncio.to_thread(gateway.readyz)
        assert code == 503
        assert said.startswith("draining")
        await provider_a.abehave("ok")
        rest = await answer.content.read()
    assert rest.rstrip().endswith(b"data: [DONE]")
    begun = time.monotonic()
    assert await asyncio.to_thread(gateway.stop) == 0
    assert time.monotonic() - begun < 150  # less than --drain-seconds
    assert "1 request may run for 200 s more" in gateway.errors_file.read_text()


async def test_what_takes_too_long_ends_visibly(tmp_path: Path, config: dict[str, Any]) -> None:
    arguments = ["--drain-seconds", "1"]
    with GatewayProcess(
        tmp_path / "data", config, environment=PROVIDER_CREDENTIALS, arguments=arguments
    ) as gateway:
        async with streaming(gateway, "endless") as answer:
            os.kill(gateway.pid, signal.SIGTERM)
            await broken(answer)
        await asyncio.to_thread(wait_for_end, gateway.pid)
        assert "1 request cut off" in gateway.errors_file.read_text()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(gateway: GatewayProcess, second: signal.Signals) -> None:
    async with streaming(gateway, "endless") as answer:
        os.kill(gateway.pid, signal.SIGTERM)
        await refused(gateway)
        begun = time.monotonic()
        os.kill(gateway.pid, second)
        await broken(answer)
        assert time.monotonic() - begun < 150
    await asyncio.to_thread(wait_for_end, gateway.pid)
