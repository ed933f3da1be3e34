"""Routes with a cache: which answers are cached, who gets them, and what a target sees."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, metrics, settled
from tests.waiting import until_answered

#: Longer than the longest stream takes with a thousand clients on a busy machine.
PATIENCE = 200.0
PRICE = {"input": 2, "output": 8}
VALUE, OTHER, STRANGER = ("sk-test-cache-" + each * 8 for each in "abc")


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    target = {"provider": "a", "model": "gpt-4.1", "price": PRICE}
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "organisations": [
            {"name": "acme", "keys": [{"name": "one", "value": VALUE}, {"name": "two", "value": OTHER}]},
            {"name": "other", "keys": [{"name": "one", "value": STRANGER}]},
        ],
        "routes": [
            {"model": "cached", "cache": {"ttl": "1h"}, "targets": [target]},
            {"model": "cached-by-key", "cache": {"ttl": "1h", "scope": "key"}, "targets": [target]},
            {"model": "cached-by-user", "cache": {"ttl": "1h", "scope": "user"}, "targets": [target]},
            {"model": "brief", "cache": {"ttl": "1s"}, "targets": [target]},
            {"model": "fresh", "targets": [target]},
        ],
    }


@pytest.fixture(autouse=True)
def behave_well(provider_a: ProviderProcess) -> None:
    provider_a.behave("ok")
    provider_a.clear()


class Answer:
    """An answer as a client got it. `how` is `x-trunkline-cache`."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.how = headers.get("x-trunkline-cache")

    @property
    def text(self) -> str:
        """The completion of a stream or a plain answer."""
        if self.headers["content-type"].startswith("text/event-stream"):
            return "".join(
                choice["delta"].get("content") or "" for event in self.events for choice in event["choices"]
            )
        return str(json.loads(self.body)["choices"][0]["message"]["content"])

    @property
    def events(self) -> list[Any]:
        lines = self.body.decode().split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""]
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def ask(
    gateway: GatewayProcess,
    content: str,
    *,
    model: str = "cached",
    value: str = VALUE,
    control: str = "",
    beta: str = "",
    **more: Any,
) -> Answer:
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    headers = {"authorization": f"Bearer {value}"} | ({"cache-control": control} if control else {})
    headers |= {"openai-beta": beta} if beta else {}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session,
        session.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.read())


async def kept(gateway: GatewayProcess, content: str, **more: Any) -> Answer:
    """Repeats a request until its answer comes from the cache: the copy of the first answer arrives a moment after
    it.
    """

    async def hit() -> Answer | None:
        answer = await ask(gateway, content, **more)
        assert answer.status == 200
        return answer if answer.how == "hit" else None

    answer = await until_answered(hit, PATIENCE)
    assert answer is not None
    return answer


async def test_the_second_answer_comes_from_the_cache(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    first = await ask(gateway, "second")
    again = await kept(gateway, "second")
    assert (first.how, again.status, again.body) == ("miss", 200, first.body)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert int(again.headers["age"]) >= 0
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    seen = len(await provider_a.arequests())
    for _ in range(20):
        assert (await ask(gateway, "second")).how == "hit"
    assert len(await provider_a.arequests()) == seen


async def test_a_route_without_a_cache_says_nothing_of_it(gateway: GatewayProcess) -> None:
    assert (await ask(gateway, "nothing", model="fresh")).how is None


async def test_each_form_is_made_of_the_other(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    provider_a.behave("ok", events=30, event_bytes=7)
    await ask(gateway, "form of a stream", stream=True)
    stream = await kept(gateway, "form of a stream", stream=True)
    plain = await ask(gateway, "form of a stream")
    with_usage = await ask(gateway, "form of a stream", stream=True, stream_options={"include_usage": True})
    assert [each.how for each in (plain, with_usage)] == ["hit", "hit"]
    assert plain.text == stream.text == with_usage.text
    assert len(stream.text) >= 30 * 7
    assert json.loads(plain.body)["object"] == "chat.completion"
    assert json.loads(plain.body)["usage"] == with_usage.events[-1]["usage"]
    assert not any(event.get("usage") for event in stream.events)

    first = await ask(gateway, "form of a plain one")
    again = await kept(gateway, "form of a plain one", stream=True, stream_options={"include_usage": True})
    assert again.text == first.text
    assert again.events[-1]["usage"] == json.loads(first.body)["usage"]


async def test_nobody_shares_across_the_scope(gateway: GatewayProcess) -> None:
    await kept(gateway, "scope")
    assert (await ask(gateway, "scope", value=OTHER)).how == "hit"
    assert (await ask(gateway, "scope", value=STRANGER)).how == "miss"
    await kept(gateway, "scope", model="cached-by-key")
    assert (await ask(gateway, "scope", model="cached-by-key", value=OTHER)).how == "miss"
    await kept(gateway, "scope", model="cached-by-user", user="u1")
    assert (await ask(gateway, "scope", model="cached-by-user", user="u1", value=OTHER)).how == "hit"
    assert (await ask(gateway, "scope", model="cached-by-user", user="u2")).how == "miss"
    assert (await ask(gateway, "scope", model="cached-by-user")).how == "bypass"


async def test_versions_of_the_api_are_told_apart(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    """Targets get the header, so their answers may differ."""
    await kept(gateway, "beta")
    assert (await ask(gateway, "beta", beta="a=v1")).how == "miss"
    await kept(gateway, "beta", beta="a=v1")
    assert (await ask(gateway, "beta", beta="a=v2")).how == "miss"
    assert "a=v2" in [each.header("openai-beta") for each in await provider_a.arequests()]


async def test_the_client_decides_by_cache_control(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    before = (await kept(gateway, "control")).body
    assert (await ask(gateway, "control", control="no-store")).how == "bypass"
    assert (await ask(gateway, "control")).body == before
    fresh = await ask(gateway, "control", control="max-age=0, No-Cache")
    assert fresh.how == "stored"

    async def replaced() -> bool:
        return (await ask(gateway, "control")).body == fresh.body

    await until_answered(replaced, PATIENCE)


async def test_its_time_ends(gateway: GatewayProcess) -> None:
    await kept(gateway, "brief", model="brief")

    async def over() -> bool:
        return bool((await ask(gateway, "brief", model="brief")).how != "hit")

    await until_answered(over, PATIENCE)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "behaviour",
    [
        {"mode": "status:500"},
        {"mode": "status:400"},
        {"mode": "die_mid_stream", "events": 20},
    ],
    ids=lambda each: each["mode"],
)
async def test_what_failed_is_not_kept(
    gateway: GatewayProcess, provider_a: ProviderProcess, behaviour: dict[str, Any], stream: bool
) -> None:
    content = f"failed {behaviour['mode']} {stream}"
    provider_a.behave(**behaviour)
    try:
        failed = await ask(gateway, content, stream=stream)
    except aiohttp.ClientPayloadError:
        failed = None
    assert failed is None or failed.status != 200 or behaviour["mode"] == "die_mid_stream"
    provider_a.behave("ok")
    assert (await ask(gateway, content, stream=stream)).how == "miss"
    assert (await kept(gateway, content, stream=stream)).status == 200


async def test_identical_requests_reach_the_target_once(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """The others wait as long as the first one runs, which is longer than Envoy waits for a silent translator."""
    provider_a.behave("ok", events=30, interval_ms=500)
    answers = await asyncio.gather(*(ask(gateway, "once", stream=True) for _ in range(1_000)))
    assert len({answer.body for answer in answers}) == 1
    assert sorted(answer.how for answer in answers) == ["hit"] * 999 + ["miss"]
    assert len(await provider_a.arequests()) == 1


async def test_the_first_client_leaves_and_the_others_get_their_answer(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    provider_a.behave("ok", events=20, interval_ms=60_000)
    first = asyncio.create_task(ask(gateway, "leaving", stream=True))
    await asyncio.to_thread(provider_a.wait_for, "requests", 1, PATIENCE)
    others = [asyncio.create_task(ask(gateway, "leaving", stream=True)) for _ in range(10)]
    await asyncio.sleep(0.5)  # nothing announces that the others wait; where one does not yet, it only proves less
    await provider_a.abehave("ok", events=20)
    first.cancel()
    answers = await asyncio.gather(*others)
    assert [answer.status for answer in answers] == [200] * 10
    assert len({answer.body for answer in answers}) == 1
    assert len(await provider_a.arequests()) == 2


async def test_the_records_say_what_was_saved(gateway: GatewayProcess) -> None:
    await settled(gateway)
    before = len(await exported(gateway))
    await kept(gateway, "saved by this")
    await settled(gateway)
    records = [each for each in (await exported(gateway))[before:] if each["status"] == 200]
    hits = [each for each in records if each.get("cache_hit")]
    (paid,) = {each["cost_nano_usd"] for each in records if not each.get("cache_hit")}
    assert paid > 0
    assert hits
    for hit in hits:
        assert hit["saved_nano_usd"] == paid
        assert not hit.get("cost_nano_usd")
        assert not hit.get("prompt_tokens")
    report = json.loads(gateway.run("usage", "report", "--by", "model", "--output", "json").stdout)
    assert sum(row.get("saved_nano_usd", 0) or 0 for row in report if row["model"] == "cached") > 0


async def test_the_metrics_tell_of_it(gateway: GatewayProcess) -> None:
    await kept(gateway, "metrics")
    found = await metrics(gateway)
    assert found['trunkline_translator_cache_total{what="hit"}'] > 0
    assert found["trunkline_translator_cache_bytes"] > 0


async def test_an_answer_from_another_address_is_not_used(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    async def move(address: str) -> None:
        verb = ("providers", "update", "a", "--base-url", address, "--credential", "env:TEST_KEY_A")
        await asyncio.to_thread(gateway.run, *verb, "--take-over")

    async def is_missed() -> bool:
        return bool((await ask(gateway, "moved")).how == "miss")

    await kept(gateway, "moved")
    await move(provider_a.base_url.replace("127.0.0.1", "localhost"))
    assert await until_answered(is_missed, PATIENCE)
    await move(provider_a.base_url)
