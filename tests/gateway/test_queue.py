"""Waiting for a place through the whole gateway: shares, bounds, clients that leave, and a killed translator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.waiting import until_answered

PLACES = 4
#: The weights of organisations, and the number of requests that wait for each unit of weight.
WEIGHTS, EACH = {"one": 1, "other": 1, "double": 2}, 60
SHARED, SINGLE, SHORT, SMALL, LEFT, KILLED = "shared", "single", "short", "small", "left", "killed"
#: Requests of which an organisation may be ahead or behind: those that are admitted together arrive in any order.
UNEVEN = PLACES + 2
GENEROUS_SECONDS = 120.0


def key_of(organisation: str) -> str:
    return f"sk-key-of-{organisation}-1234"


def route(model: str, places: int, **queue: Any) -> dict[str, Any]:
    return {
        "model": model,
        "targets": [{"provider": "a", "model": "gpt-4.1"}],
        "limits": [{"metric": "concurrency", "amount": places}],
        "queue": queue,
    }


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            route(SHARED, PLACES, longest="4m", size=1_000),
            route(SINGLE, 100, longest="4m"),
            route(SHORT, 1, longest="1s"),
            route(SMALL, 1, longest="4m", size=2),
            route(LEFT, 1, longest="4m"),
            route(KILLED, 2, longest="4m"),
        ],
        "organisations": [
            *(
                {"name": name, "weight": weight, "keys": [{"name": "ci", "value": key_of(name)}]}
                for name, weight in WEIGHTS.items()
            ),
            {
                "name": "narrow",
                "keys": [
                    {
                        "name": "ci",
                        "value": key_of("narrow"),
                        "priority": "low",
                        "limits": [{"metric": "concurrency", "amount": 1}],
                    }
                ],
            },
        ],
    }


@pytest.fixture(autouse=True)
def quick_again(provider_a: ProviderProcess) -> Iterator[None]:
    yield
    provider_a.behave("ok")


class Answer:
    def __init__(self, status: int, headers: Any, text: str) -> None:
        self.status, self.headers, self.text = status, headers, text

    @property
    def queued_ms(self) -> int | None:
        value = self.headers.get("x-trunkline-queued-ms")
        return int(value) if value is not None else None


async def ask(gateway: GatewayProcess, model: str, of: str = "one", size: int = 40) -> Answer:
    sent = json.dumps({"model": model, "messages": [{"role": "user", "content": "x" * size}], "user": of})
    headers = {"authorization": f"Bearer {key_of(of)}", "content-type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{gateway.base_url}/chat/completions", data=sent) as answer,
    ):
        return Answer(answer.status, answer.headers, await answer.text())


async def waiting(gateway: GatewayProcess, model: str, number: int) -> None:
    """Waits until `number` requests wait."""
    line = f'trunkline_translator_waiting_requests{{model="{model}"}} {number}.0'

    async def counted() -> bool:
        async with session.get(f"{gateway.admin_url}/metrics/translator") as answer:
            text = await answer.text()
        return line in text or (not number and f'waiting_requests{{model="{model}"' not in text)

    async with aiohttp.ClientSession() as session:
        await until_answered(counted, GENEROUS_SECONDS)


async def occupied(gateway: GatewayProcess, provider: ProviderProcess, model: str, places: int = 1) -> list[Any]:
    """Starts requests that hold places for a long time, even after the provider's behaviour has changed."""
    before = len(await asyncio.to_thread(provider.requests))
    await provider.abehave("slow", delay_ms=600_000)
    held = [asyncio.create_task(ask(gateway, model, "other")) for _ in range(places)]
    assert await asyncio.to_thread(provider.wait_for, "requests", before + places)
    await provider.abehave("ok")
    return held


async def ended(tasks: list[Any]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_organisations_share_the_places_by_weight_and_nobody_is_refused(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """All of them wait before the first one is admitted, so the order does not depend on anybody's speed."""
    held = await occupied(gateway, provider_a, SHARED, PLACES)
    last = (await provider_a.arequests())[-1].id
    asking = [
        asyncio.create_task(ask(gateway, SHARED, name))
        for name, weight in WEIGHTS.items()
        for _ in range(EACH * weight)
    ]
    await waiting(gateway, SHARED, len(asking))
    await ended(held)
    assert {each.status for each in await asyncio.gather(*asking)} == {200}
    order = [each.json()["user"] for each in await provider_a.arequests(last)]
    assert len(order) == len(asking)
    # At any time until the first organisation has no more to ask, each has had its share.
    for served in range(len(order) - EACH):
        for name, weight in WEIGHTS.items():
            share = served * weight / sum(WEIGHTS.values())
            assert abs(order[:served].count(name) - share) <= UNEVEN, (name, order[:served])


async def test_a_key_with_one_place_is_never_refused(gateway: GatewayProcess) -> None:
    answers = await asyncio.gather(*(ask(gateway, SINGLE, "narrow") for _ in range(30)))
    assert [each.status for each in answers] == [200] * 30
    answers = [await ask(gateway, SINGLE, "narrow") for _ in range(30)]
    assert [each.status for each in answers] == [200] * 30


async def test_who_has_waited_longest_enough_is_refused(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    held = await occupied(gateway, provider_a, SHORT)
    begun = time.monotonic()
    answer = await ask(gateway, SHORT)
    assert answer.status == 429
    assert time.monotonic() - begun >= 1.0
    assert int(answer.headers["retry-after"]) >= 1
    message = json.loads(answer.text)["error"]["message"]
    assert message.startswith("No place for model 'short' became free within 1s.")
    await ended(held)

    async def passes() -> bool:
        return (await ask(gateway, SHORT)).status == 200

    await until_answered(passes, GENEROUS_SECONDS)


async def test_a_full_line_refuses_at_once(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    held = await occupied(gateway, provider_a, SMALL)
    line = [asyncio.create_task(ask(gateway, SMALL))]
    await waiting(gateway, SMALL, 1)
    line.append(asyncio.create_task(ask(gateway, SMALL)))
    await waiting(gateway, SMALL, 2)
    answer = await ask(gateway, SMALL)
    assert answer.status == 429
    message = json.loads(answer.text)["error"]["message"]
    assert message.startswith("2 requests are already waiting for model 'small'")
    # A request of another organisation takes the place of the newest of them.
    third = asyncio.create_task(ask(gateway, SMALL, "double"))
    assert (await line[1]).status == 429
    await ended(held)
    answers = [await line[0], await third]
    assert [each.status for each in answers] == [200, 200]
    assert all(each.queued_ms is not None for each in answers)
    assert (await ask(gateway, SMALL)).queued_ms is None


@pytest.mark.parametrize("size", [40, 200_000], ids=["short", "long"])
async def test_a_client_that_leaves_leaves_the_line(
    gateway: GatewayProcess, provider_a: ProviderProcess, size: int
) -> None:
    held = await occupied(gateway, provider_a, LEFT)
    before = len(await asyncio.to_thread(provider_a.requests))
    leaving = asyncio.create_task(ask(gateway, LEFT, size=size))
    await waiting(gateway, LEFT, 1)
    staying = asyncio.create_task(ask(gateway, LEFT, size=size))
    await waiting(gateway, LEFT, 2)
    await ended([leaving])
    await waiting(gateway, LEFT, 1)
    await ended(held)
    assert (await staying).status == 200
    assert len(await asyncio.to_thread(provider_a.requests)) == before + 1


async def test_a_translator_that_is_killed_loses_none_of_those_that_wait(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    held = await occupied(gateway, provider_a, KILLED, 2)
    line = [asyncio.create_task(ask(gateway, KILLED, name)) for name in ("one", "double") for _ in range(5)]
    await waiting(gateway, KILLED, 10)
    for _ in range(4):
        gateway.kill("translator")
        await waiting(gateway, KILLED, 10)
    await ended(held)
    answers = await asyncio.gather(*line)
    assert [each.status for each in answers] == [200] * 10
    # Afterwards no request holds a place.
    await waiting(gateway, KILLED, 0)
    assert (await ask(gateway, KILLED)).status == 200
