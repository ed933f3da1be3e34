"""A target that says when to come back is left alone until then, and its clients notice nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.load import Load
from tests.gateway.process import GatewayProcess

#: Of Envoy's workers, at most; each may be in the middle of an attempt when another one hears of the limit.
WORKERS = 8
ENTERED = {"key-one": "sk-resting-key-number-one", "key-two": "sk-resting-key-number-two"}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    def route(model: str, *providers: str) -> dict[str, Any]:
        targets = [{"provider": name, "model": model, "tier": at} for at, name in enumerate(providers)]
        return {"model": model, "targets": targets}

    models = ("limited", "lone", "alone", "own", "spare", "revoked", "revoked-too")
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [route(model, "a", *(() if model in {"lone", "alone"} else ("b",))) for model in models],
        "organisations": [
            {"name": "acme", "keys": [{"name": name, "value": value} for name, value in ENTERED.items()]}
        ],
    }


@pytest.fixture(autouse=True)
def healthy_again(provider_a: ProviderProcess) -> Iterator[None]:
    provider_a.behave("ok")
    provider_a.clear()
    yield
    provider_a.behave("ok")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(gateway: GatewayProcess, model: str, *, key: str = "key-one", user: str = "") -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | ({"user": user} if user else {})
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {ENTERED[key]}"}) as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())


async def served_by(gateway: GatewayProcess, model: str, *, key: str = "key-one", user: str = "") -> str:
    answer = await ask(gateway, model, key=key, user=user)
    assert answer.status == 200
    return answer.headers["x-trunkline-target"]


async def test_a_limited_target_sees_next_to_nothing_under_load(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:429", retry_after="20")
    async with Load(gateway.base_url, gateway.api_key, "limited", rate=100) as load:
        await load.wait_for(500, within=60)
    assert not load.problems
    assert set(load.targets()) == {"b/limited"}
    assert 1 <= len(await provider_a.arequests()) <= 2 * WORKERS


async def test_it_comes_back_by_a_trickle(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    await provider_a.abehave("status:429", retry_after="2", times=1)
    async with Load(gateway.base_url, gateway.api_key, "spare", rate=50) as load:
        await load.wait_for(50, target="a/spare", within=60)
    assert not load.problems
    assert load.targets()["b/spare"] > 0


async def test_where_all_are_limited_the_client_hears_when_and_no_target_hears_anything(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:429", retry_after="300")
    first = await ask(gateway, "lone")
    assert (first.status, first.headers["retry-after"]) == (429, "300")
    asked = len(await provider_a.arequests())
    connections = (await provider_a.acounters())["connections"]
    for _ in range(5):
        answer = await ask(gateway, "lone")
        assert (answer.status, answer.headers["x-should-retry"]) == (429, "false")
        assert 200 < int(answer.headers["retry-after"]) <= 300
        assert int(answer.headers["retry-after-ms"]) == 1000 * int(answer.headers["retry-after"])
        error = json.loads(answer.body)["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert len(await provider_a.arequests()) == asked == 1
    assert (await provider_a.acounters())["connections"] == connections


async def test_a_callers_own_requests_take_a_target_from_nobody_else(gateway: GatewayProcess) -> None:
    for _ in range(10):
        assert (await ask(gateway, "own", user="fault:status:429")).status == 429
    assert await served_by(gateway, "own", user="somebody") == "a/own"
    assert await served_by(gateway, "own", key="key-two") == "a/own"


async def test_nor_do_they_leave_others_without_any(gateway: GatewayProcess) -> None:
    for _ in range(3):
        assert (await ask(gateway, "alone", user="fault:status:429")).status == 429
    assert await served_by(gateway, "alone", key="key-two") == "a/alone"


async def test_a_revoked_credential_is_tried_once_for_all_models(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:401")
    assert await served_by(gateway, "revoked") == "b/revoked"
    async with Load(gateway.base_url, gateway.api_key, "revoked-too", rate=50) as load:
        await load.wait_for(100, within=60)
    assert not load.problems
    assert len(await provider_a.arequests()) == 1
    assert "refuses its credential (401)" in (gateway.data_dir / "log" / "envoy.log").read_text()
