"""A stream ends as the target ended it, or visibly broken: never silently short, and never too late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

#: `silent` has the shorter one. A busy machine may take seconds between two events.
IDLE_SECONDS, LONGER_SECONDS = 1.0, 9.0
BODY = {"model": "stream", "messages": [{"role": "user", "content": "hi"}], "stream": True}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    def route(model: str, target: str, idle: float = LONGER_SECONDS) -> dict[str, Any]:
        targets = [{"provider": "a", "model": target}]
        return {"model": model, "targets": targets, "timeouts": {"idle": f"{idle}s"}}

    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            route("stream", "paced-20-20"),
            route("silent", "paced-20-20", IDLE_SECONDS),
            route("quiet", "paced-8-1500"),
        ],
    }


@pytest.fixture(autouse=True)
def healthy_again(provider_a: ProviderProcess) -> Iterator[None]:
    yield
    provider_a.behave("ok")


async def read(gateway: GatewayProcess, body: dict[str, Any]) -> tuple[int, bytes, bool, float]:
    """Sends a request. Returns status, bytes, whether it ended properly, and seconds."""
    begun = time.monotonic()
    received = b""
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        try:
            async with session.post(f"{gateway.base_url}/chat/completions", json=body) as answer:
                async for piece in answer.content.iter_any():
                    received += piece
        except aiohttp.ClientPayloadError:
            return answer.status, received, False, time.monotonic() - begun
    return answer.status, received, True, time.monotonic() - begun


async def test_events_arrive_as_they_are_sent(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    """Each time, the provider sends no more until the client has what was sent."""
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    for sent in (1, 2, 10):
        await provider_a.abehave("held", after_events=sent)
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{gateway.base_url}/chat/completions", json=BODY) as answer,
        ):
            received = b""
            while received.count(b"data: ") < sent:
                received += await answer.content.readany()
            await provider_a.abehave("ok")
            received += await answer.read()
        assert received.rstrip().endswith(b"data: [DONE]")


async def test_headers_and_then_silence_are_a_clear_error_after_idle(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("headers_then_silence")
    status, received, ended_well, seconds = await read(gateway, {**BODY, "model": "silent"})
    assert (status, ended_well) == (504, True)
    assert b'"code":"upstream_timeout"' in received
    assert 2 * IDLE_SECONDS * 0.9 < seconds < 2 * IDLE_SECONDS + 30, "a lone target is asked twice"
    assert await provider_a.await_for("disconnects")


async def test_an_upstream_that_dies_mid_stream_breaks_the_stream(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("die_mid_stream", after_events=5)
    status, received, ended_well, _ = await read(gateway, BODY)
    assert status == 200
    assert received.count(b"data:") >= 5
    assert b"[DONE]" not in received
    assert not ended_well


async def test_a_stream_that_is_slow_but_alive_is_left_alone(gateway: GatewayProcess) -> None:
    """Its events are 1.5 s apart: longer than `idle` in total, but never silent for that long."""
    status, received, ended_well, seconds = await read(gateway, {**BODY, "model": "quiet"})
    assert (status, ended_well) == (200, True)
    assert received.rstrip().endswith(b"data: [DONE]")
    assert seconds > LONGER_SECONDS


async def test_a_client_that_reads_slowly_gets_everything(gateway: GatewayProcess) -> None:
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    received = b""
    async with (
        aiohttp.ClientSession(headers=headers, read_bufsize=1024) as session,
        session.post(f"{gateway.base_url}/chat/completions", json=BODY) as answer,
    ):
        while piece := await answer.content.read(200):
            received += piece
            await asyncio.sleep(0.005)  # the slowness that this test needs
    assert received.rstrip().endswith(b"data: [DONE]")
