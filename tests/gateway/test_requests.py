"""Running and waiting requests through the whole gateway: listed while they run, cancelled, and explained."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.waiting import until_answered

KEY = "sk-key-of-acme-12345"
PATIENCE = 120.0
MODEL, QUEUED = "gpt-4.1", "one-place"


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [
            {
                "model": MODEL,
                "targets": [
                    {"provider": "a", "model": "gpt-4.1", "price": {"input": 2.0, "output": 8.0}},
                    {"provider": "b", "model": "vendor/gpt", "tier": 1, "price": {"input": 1.0, "output": 4.0}},
                ],
            },
            {
                "model": QUEUED,
                "targets": [{"provider": "b", "model": "gpt-4.1"}],
                "limits": [{"metric": "concurrency", "amount": 1}],
                "queue": {"longest": "240s"},
            },
        ],
        "organisations": [{"name": "acme", "keys": [{"name": "ci", "value": KEY}]}],
    }


@pytest.fixture(autouse=True)
def well(provider_a: ProviderProcess, provider_b: ProviderProcess) -> Iterator[None]:
    yield
    provider_a.behave("ok")
    provider_b.behave("ok")


async def verb(gateway: GatewayProcess, *words: str) -> Any:
    """Returns the JSON output of `trunkline requests …`."""
    done = await asyncio.to_thread(gateway.run, "requests", *words, "--output", "json")
    return json.loads(done.stdout)


async def until(gateway: GatewayProcess, fits: Callable[[list[Any]], bool], *words: str) -> list[Any]:
    """Returns the listing once `fits` holds for it."""

    async def listed() -> tuple[list[Any]] | None:
        found: list[Any] = await verb(gateway, "list", *words)
        return (found,) if fits(found) else None

    fitting = await until_answered(listed, PATIENCE)
    assert fitting is not None
    return fitting[0]


class Client:
    """A request, sent at once; `answer` and `rest` are its results."""

    def __init__(
        self, session: aiohttp.ClientSession, gateway: GatewayProcess, model: str, *, stream: bool
    ) -> None:
        body = {
            "model": model,
            "stream": stream,
            "user": "u-1",
            "messages": [{"role": "user", "content": "secret"}],
        }
        headers = {"authorization": f"Bearer {KEY}", "x-trunkline-tag": "run-7"}
        self._sending = asyncio.create_task(
            session.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers)
        )

    async def answer(self) -> aiohttp.ClientResponse:
        return await asyncio.wait_for(asyncio.shield(self._sending), PATIENCE)

    async def leave(self) -> None:
        self._sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await self._sending).close()


async def test_a_stream_is_seen_cancelled_and_explained(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    """The stream breaks off, its target's connection is closed, and the record says why."""
    await provider_a.abehave("status:500")
    await provider_b.abehave("ok", events=100_000, interval_ms=200)
    async with aiohttp.ClientSession() as session:
        client = Client(session, gateway, MODEL, stream=True)
        answer = await client.answer()
        assert answer.status == 200
        found = await until(gateway, lambda rows: bool(rows) and rows[0]["tokens"] not in {"", 0})
        (row,) = found
        assert row["id"] == answer.headers["x-request-id"]
        assert (row["state"], row["org"], row["key"], row["model"]) == ("running", "acme", "acme/ci", MODEL)
        assert (row["target"], row["attempt"], row["stream"]) == ("b/vendor/gpt", 2, True)
        assert (row["user"], row["tag"]) == ("u-1", "run-7")
        assert row["elapsed"] > 0
        assert "secret" not in json.dumps(found)
        await asyncio.to_thread(gateway.run, "requests", "cancel", row["id"])
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(answer.read(), PATIENCE)
    await until(gateway, lambda rows: not rows)
    assert await asyncio.to_thread(provider_b.wait_for, "disconnects", 1)
    (ended,) = await until(gateway, bool, "--finished", "--status", "cancelled")
    assert ended["id"] == row["id"]
    shown = await verb(gateway, "show", row["id"][:13])
    attempts = [(each["target"], each["status"]) for each in shown["attempts_made"]]
    assert attempts == [("a/gpt-4.1", 500), ("b/vendor/gpt", 200)]
    assert shown["attempts_made"][1]["outcome"] == "cancelled by an operator"
    assert shown["attempts_made"][1]["duration"] > 0
    # The delivered part is billed, at half the price of the other target.
    assert shown["completion_tokens"] > 0
    costs = {each["target"]: Decimal(each["cost_usd"]) for each in shown["costs"]}
    assert costs["a/gpt-4.1"] == 2 * costs["b/vendor/gpt"] > 0


async def test_a_request_without_an_answer_yet_gets_an_error(
    gateway: GatewayProcess, provider_b: ProviderProcess
) -> None:
    """A request that waits for its place gets the same error."""
    await provider_b.abehave("slow", delay_ms=600_000)
    async with aiohttp.ClientSession() as session:
        first = Client(session, gateway, QUEUED, stream=False)
        (running,) = await until(gateway, lambda rows: len(rows) == 1 and bool(rows[0]["target"]))
        second = Client(session, gateway, QUEUED, stream=False)
        await until(gateway, lambda rows: len(rows) == 1, "--status", "queued")
        third = Client(session, gateway, QUEUED, stream=False)
        waiting = await until(gateway, lambda rows: len(rows) == 2, "--status", "queued")
        assert [(each["position"], each["state"]) for each in waiting] == [(1, "queued"), (2, "queued")]
        await asyncio.to_thread(gateway.run, "requests", "cancel", waiting[1]["id"])
        await asyncio.to_thread(gateway.run, "requests", "cancel", running["id"])
        for answer in (await first.answer(), await third.answer()):
            assert answer.status == 499
            assert answer.headers["x-should-retry"] == "false"
            assert (await answer.json())["error"]["code"] == "request_cancelled"
        # The first request's place goes to the other one.
        (running,) = await until(gateway, lambda rows: len(rows) == 1 and rows[0]["state"] == "running")
        assert running["id"] == waiting[0]["id"]
        await second.leave()
    (event, *_) = json.loads(gateway.run("audit", "list", "--output", "json").stdout)
    assert (event["action"], event["object"]) == ("cancel", "request")


def test_what_does_not_run_cannot_be_cancelled(gateway: GatewayProcess) -> None:
    done = gateway.run("requests", "cancel", "00000000-0000", check=False)
    assert done.returncode == 1
    assert "is running or waiting" in done.stderr
