"""Requests get what helps a provider's prompt cache if their route enables it, and nothing otherwise."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

HELP = {"key": "conversation", "stable_order": True}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
#: Sizes of bodies that are read at once, checked by their head first, and read in other processes.
SIZES = (10, 100_000, 1_000_000)


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    targets = [{"provider": "a", "model": "upstream"}]
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {"model": "plain", "targets": targets},
            {"model": "helped", "targets": targets, "prompt_cache": HELP},
        ],
    }


async def ask(gateway: GatewayProcess, body: bytes, *, chunked: bool = False) -> httpx.Response:
    headers = {"authorization": f"Bearer {gateway.api_key}", "content-type": "application/json"}

    async def pieces() -> Any:
        for begin in range(0, len(body), 30_000):
            yield body[begin : begin + 30_000]

    async with httpx.AsyncClient(base_url=gateway.origin, timeout=60) as client:
        return await client.post("/v1/chat/completions", headers=headers, content=pieces() if chunked else body)


def said(model: str, size: int = 10, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "x" * size}], "tools": [TOOL], **more}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_key_is_put_in_and_nothing_else_changes(
    gateway: GatewayProcess, provider_a: ProviderProcess, size: int, *, stream: bool, chunked: bool
) -> None:
    request = said("helped", size, stream=stream)
    answer = await ask(gateway, json.dumps(request).encode(), chunked=chunked)
    assert answer.status_code == 200, answer.text
    received = (await provider_a.arequests())[-1].json()
    assert len(received.pop("prompt_cache_key")) == 32
    received.pop("stream_options", None)
    assert received == {**request, "model": "upstream"}
    if size < SIZES[-1]:  # bodies read in other processes keep their order
        assert list(received["tools"][0]) == ["function", "type"]


async def test_elsewhere_bodies_are_left_alone(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    body = json.dumps(said("plain"), indent=1).encode()
    assert (await ask(gateway, body)).status_code == 200
    received = (await provider_a.arequests())[-1].body
    assert received == body.replace(b'"plain"', b'"upstream"')
