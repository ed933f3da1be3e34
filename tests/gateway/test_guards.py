"""Requests that do not fit every target, through the whole gateway: they go to a fitting one, also after a
failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

pytestmark = pytest.mark.usefixtures("well_behaved")

KEY = "sk-key-of-the-guards-1234"
MODEL = "gpt-4.1"
CHEAP, DEAR = {"input": 1.0, "output": 2.0}, {"input": 100.0, "output": 200.0}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    """A configuration whose cheap target has the small context, and serves everything that fits."""
    targets = [
        {"provider": "a", "model": MODEL, "context": 1_000, "price": CHEAP},
        {"provider": "b", "model": "vendor/large", "context": 20_000, "tier": 1, "price": DEAR},
    ]
    routes = [
        {"model": MODEL, "targets": targets},
        {"model": "dear-first", "targets": [{**targets[0], "tier": 1}, {**targets[1], "tier": 0}]},
    ]
    keys = [{"name": "ci", "value": KEY}, {"name": "poor", "value": f"{KEY}-poor", "max_price": 0.001}]
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": routes,
        "organisations": [{"name": "acme", "keys": keys}],
    }


async def ask(
    gateway: GatewayProcess, characters: int, *, key: str = KEY, max_price: str = "", **more: Any
) -> tuple[int, Any, Mapping[str, str]]:
    """Sends a request. Returns status, JSON and headers."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    if max_price:
        headers["x-trunkline-max-price"] = max_price
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x" * characters}], **more}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{gateway.base_url}/chat/completions", data=json.dumps(body)) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


async def test_a_request_goes_where_it_fits(gateway: GatewayProcess) -> None:
    cases: list[tuple[int, dict[str, Any], str]] = [
        (100, {}, "a/gpt-4.1"),
        (100, {"max_tokens": 900}, "a/gpt-4.1"),
        (100, {"max_tokens": 1_000}, "b/vendor/large"),
        (8_000, {}, "b/vendor/large"),
        (100, {"max_tokens": 1_000, "stream": False}, "b/vendor/large"),
    ]
    for characters, more, target in cases:
        status, _, headers = await ask(gateway, characters, **more)
        assert (status, headers["x-trunkline-target"]) == (200, target), (characters, more)


async def test_what_fits_nowhere_is_refused_by_name(gateway: GatewayProcess) -> None:
    large: list[tuple[int, dict[str, Any]]] = [(400_000, {}), (100, {"max_tokens": 30_000})]
    for characters, more in large:
        status, answer, _ = await ask(gateway, characters, **more)
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
        assert "20000 tokens" in answer["error"]["message"]


async def test_no_failover_goes_where_it_does_not_fit(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    provider_b.behave("status:500")
    before = await provider_a.acounters()
    status, _, _ = await ask(gateway, 8_000)
    assert status >= 500
    assert (await provider_a.acounters())["requests"] == before["requests"]


async def test_the_client_says_what_a_request_may_cost(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    status, _, headers = await ask(gateway, 100, model="dear-first", max_tokens=100)
    assert (status, headers["x-trunkline-target"]) == (200, "b/vendor/large")
    status, _, headers = await ask(gateway, 100, model="dear-first", max_tokens=100, max_price="0.001")
    assert (status, headers["x-trunkline-target"]) == (200, "a/gpt-4.1")
    assert "x-trunkline-max-price" not in {name for name, _ in (await provider_a.arequests())[-1].headers}
    status, answer, _ = await ask(gateway, 100, max_tokens=100, max_price="0.0001")
    assert (status, answer["error"]["code"]) == (400, "max_price_exceeded")
    assert "0.0001 USD" in answer["error"]["message"]
    status, answer, _ = await ask(gateway, 100, max_price="free")
    assert (status, answer["error"]["code"]) == (400, "invalid_max_price")


async def test_a_key_says_what_a_request_may_cost(gateway: GatewayProcess) -> None:
    poor = f"{KEY}-poor"
    status, _, headers = await ask(gateway, 100, key=poor, model="dear-first", max_tokens=100)
    assert (status, headers["x-trunkline-target"]) == (200, "a/gpt-4.1")
    status, answer, _ = await ask(gateway, 100, key=poor, max_tokens=800)
    assert (status, answer["error"]["code"]) == (400, "max_price_exceeded")
