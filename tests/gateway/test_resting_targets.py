"""A target that says when to come back is left alone until then, and its clients notice nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess, SeenRequest
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.load import Load
from tests.gateway.process import GatewayProcess
from tests.waiting import until, until_answered

#: Requests of one credential in an hour.
QUOTA = 5
PATIENCE = 120.0
ENTERED = {"key-one": "sk-resting-key-number-one", "key-two": "sk-resting-key-number-two"}


@pytest.fixture(scope="module")
def provider_checked() -> Iterator[ProviderProcess]:
    """A server of its own for the target with health checks, so that these reach no other one."""
    with ProviderProcess("checked", api_keys=["sk-provider-a"]) as provider:
        yield provider


@pytest.fixture(scope="module")
def config(
    provider_a: ProviderProcess, provider_b: ProviderProcess, provider_checked: ProviderProcess
) -> dict[str, Any]:
    def route(model: str, *providers: str) -> dict[str, Any]:
        targets = [{"provider": name, "model": model, "tier": at} for at, name in enumerate(providers)]
        return {"model": model, "targets": targets}

    models = ("limited", "lone", "alone", "own", "spare")
    metered = {**provider_entry(provider_a), "name": "metered", "quota": [f"requests/1h={QUOTA}"]}
    budget = {**metered, "name": "budget", "quota": ["tokens/1h=1000000"]}
    budget["credentials"] = [{"value": "env:TEST_KEY_A", "quota": ["tokens/1h=2000"]}]
    teller = {**provider_entry(provider_a), "name": "teller"}
    refused = {**provider_entry(provider_a), "name": "refused"}
    checked = {**provider_entry(provider_checked), "credentials": ["env:TEST_KEY_A"]}
    checked["health"] = {"path": "/models", "every": "1s"}
    return {
        "version": 1,
        "providers": [
            provider_entry(provider_a),
            provider_entry(provider_b),
            metered,
            budget,
            teller,
            refused,
            checked,
        ],
        "routes": [
            *(route(model, "a", *(() if model in {"lone", "alone"} else ("b",))) for model in models),
            route("revoked", "refused", "b"),
            route("revoked-too", "refused", "b"),
            route("metered", "metered", "b"),
            route("metered-lone", "metered"),
            route("budget", "budget", "b"),
            route("told", "teller", "b"),
            route("told-before", "teller", "b"),
            route("checked", "checked", "b"),
        ],
        "organisations": [
            {"name": "acme", "keys": [{"name": name, "value": value} for name, value in ENTERED.items()]}
        ],
    }


@pytest.fixture(autouse=True)
def healthy_again(provider_a: ProviderProcess, provider_b: ProviderProcess) -> Iterator[None]:
    provider_a.behave("ok")
    provider_a.clear()
    yield
    for provider in (provider_a, provider_b):
        provider.behave("ok")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(gateway: GatewayProcess, model: str, *, key: str = "key-one", user: str = "") -> Answer:
    """Sends a request with a key of acme or, for `of the load`, with that of `Load`."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | ({"user": user} if user else {})
    value = ENTERED.get(key, gateway.api_key)
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {value}"}) as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())


def reported(gateway: GatewayProcess, *verb: str) -> Any:
    return json.loads(gateway.run(*verb, "--output", "json").stdout)


async def http(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.read()


async def questions(provider: ProviderProcess) -> list[SeenRequest]:
    """Returns the provider's requests for answers."""
    return [each for each in await provider.arequests() if each.method == "POST"]


async def served_by(gateway: GatewayProcess, model: str, *, key: str = "key-one", user: str = "") -> str:
    answer = await ask(gateway, model, key=key, user=user)
    assert answer.status == 200
    return answer.headers["x-trunkline-target"]


async def test_a_limited_target_sees_nothing_more_under_load(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:429", retry_after="300")
    assert await served_by(gateway, "limited", key="of the load") == "b/limited"
    async with Load(gateway.base_url, gateway.api_key, "limited", rate=100) as load:
        await load.wait_for(500, within=PATIENCE)
    assert not load.problems
    assert set(load.targets()) == {"b/limited"}
    assert len(await questions(provider_a)) == 1


async def test_it_comes_back_by_a_trickle(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    await provider_a.abehave("status:429", retry_after="2", times=1)
    async with Load(gateway.base_url, gateway.api_key, "spare", rate=50) as load:
        await load.wait_for(50, target="a/spare", within=PATIENCE)
    assert not load.problems
    assert load.targets()["b/spare"] > 0


async def test_where_all_are_limited_the_client_hears_when_and_no_target_hears_anything(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:429", retry_after="300")
    first = await ask(gateway, "lone")
    assert (first.status, first.headers["retry-after"]) == (429, "300")
    asked = len(await questions(provider_a))
    connections = (await provider_a.acounters())["connections"]
    for _ in range(5):
        answer = await ask(gateway, "lone")
        assert (answer.status, answer.headers["x-should-retry"]) == (429, "false")
        assert 200 < int(answer.headers["retry-after"]) <= 300
        assert int(answer.headers["retry-after-ms"]) == 1000 * int(answer.headers["retry-after"])
        error = json.loads(answer.body)["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert len(await questions(provider_a)) == asked == 1
    assert (await provider_a.acounters())["connections"] == connections


async def test_a_callers_own_requests_take_a_target_from_nobody_else(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    for provider in (provider_a, provider_b):
        await provider.abehave("ok", retry_after="300")  # of the refusals
    for _ in range(10):
        assert (await ask(gateway, "own", user="fault:status:429")).status == 429
    assert await served_by(gateway, "own", user="somebody") == "a/own"
    assert await served_by(gateway, "own", key="key-two") == "a/own"


async def test_nor_do_they_leave_others_without_any(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    await provider_a.abehave("ok", retry_after="300")  # of the refusals
    for _ in range(3):
        assert (await ask(gateway, "alone", user="fault:status:429")).status == 429
    assert await served_by(gateway, "alone", key="key-two") == "a/alone"


async def test_a_revoked_credential_is_tried_once_for_all_models(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status:401")
    assert await served_by(gateway, "revoked") == "b/revoked"
    async with Load(gateway.base_url, gateway.api_key, "revoked-too", rate=50) as load:
        await load.wait_for(100, within=PATIENCE)
    assert not load.problems
    assert len(await questions(provider_a)) == 1
    log = gateway.data_dir / "log" / "envoy.log"
    await until(lambda: "refuses its credential (401)" in log.read_text())
    rest = {each["subject"]: each for each in reported(gateway, "status")["rests"]}["refused"]
    assert rest["kind"] == "credential_refused"
    assert rest["reason"] == "the provider refuses the credential (401)"
    assert rest["since"] < rest["until"]

    async def is_counted() -> bool:
        page = await http(f"{gateway.admin_url}/metrics/control")
        return b'trunkline_control_rests{kind="credential_refused"} 1.0' in page

    await until_answered(is_counted)


async def test_a_configured_quota_is_kept_to_under_load(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    async with Load(gateway.base_url, gateway.api_key, "metered", rate=100) as load:
        await load.wait_for(500, within=PATIENCE)
    assert not load.problems
    assert load.targets()["metered/metered"] == QUOTA
    assert len(await questions(provider_a)) == QUOTA
    # Another route has only this credential: no target is called, and the client learns when to retry.
    answer = await ask(gateway, "metered-lone")
    assert (answer.status, len(await questions(provider_a))) == (429, QUOTA)
    assert 3_000 < int(answer.headers["retry-after"]) <= 3_700
    (row,) = (each for each in reported(gateway, "providers", "quota", "metered") if each["source"] == "quota")
    assert (row["quota"], row["limit"], row["remaining"]) == ("requests/1h", QUOTA, 0)
    assert row["reason"] == "its quota of 5 requests in 3600 s is used up"
    assert PROVIDER_CREDENTIALS["TEST_KEY_A"] not in str(row)
    used_up = {each["subject"]: each["kind"] for each in reported(gateway, "status")["rests"]}
    assert used_up["metered"] == "quota_used_up"


async def test_tokens_count_as_the_provider_reports_them(gateway: GatewayProcess) -> None:
    """A request reserves some thousand tokens and uses a few: many fit one after the other, but no two at once."""
    for _ in range(10):
        assert await served_by(gateway, "budget") == "budget/budget"
    async with Load(gateway.base_url, gateway.api_key, "budget", rate=50) as load:
        await load.wait_for(100, within=PATIENCE)
    assert not load.problems


@pytest.mark.parametrize("status", ["ok", "status:400"])
async def test_a_target_that_says_that_nothing_is_left_rests_before_it_refuses(
    gateway: GatewayProcess, provider_a: ProviderProcess, status: str
) -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "300s",
    }
    await provider_a.abehave(status, headers=headers)
    model = "told" if status == "ok" else "told-before"
    first = await ask(gateway, model)
    assert (first.status, first.headers["x-trunkline-target"]) == (
        200 if status == "ok" else 400,
        f"teller/{model}",
    )
    async with Load(gateway.base_url, gateway.api_key, model, rate=100) as load:
        await load.wait_for(300, within=PATIENCE)
    assert not load.problems
    assert set(load.targets()) == {f"b/{model}"}
    assert len(await questions(provider_a)) == 1
    (row,) = (
        each for each in reported(gateway, "providers", "quota", "teller") if each["target"] == f"teller/{model}"
    )
    assert (row["source"], row["quota"], row["limit"], row["remaining"]) == ("headers", "requests", 60, 0)
    assert row["reason"] == "the provider says that its quota is used up"


async def test_health_checks_find_a_dead_server_and_bring_it_back(
    gateway: GatewayProcess, provider_checked: ProviderProcess
) -> None:
    async def checks(since: int = 0) -> list[SeenRequest]:
        return [each for each in await provider_checked.arequests(since) if each.method == "GET"]

    async with Load(gateway.base_url, gateway.api_key, "checked", rate=50) as load:
        await load.wait_for(20, target="checked/checked", within=PATIENCE)
        asked = {(each.path, each.header("authorization")) for each in await checks()}
        assert asked <= {("/v1/models", "Bearer sk-provider-a")}
        last = (await provider_checked.arequests())[-1].id
        await provider_checked.abehave("status:503")
        await load.wait_for(100, target="b/checked", within=PATIENCE)

        async def is_found_out() -> bool:
            """Envoy sends the next check when it has the answer to the one before."""
            return sum(each.status == 503 for each in await checks(last)) > 2

        await until_answered(is_found_out)
        await load.wait_for(100, target="b/checked", within=PATIENCE)
        # By now, it receives only health checks.
        await asyncio.to_thread(provider_checked.clear)
        await load.wait_for(100, target="b/checked", within=PATIENCE)
        assert not await questions(provider_checked)
        await provider_checked.abehave("ok")
        await load.wait_for(50, target="checked/checked", within=PATIENCE)
    assert not load.problems
