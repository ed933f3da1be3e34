"""The disconnect matrix: the billed usage against the upstream's real output, however a request ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported
from tests.waiting import until_answered

pytestmark = pytest.mark.usefixtures("well_behaved")

EVENTS = 40
INTERVAL_MS = 20
PROMPT = "one two three four five six seven eight"
PROMPT_TOKENS = 8
PRICE = {"input": 1.0, "output": 2.0}


FAULTS = ("status:500", "status:429", "reset")


def own(fault: str) -> str:
    """Returns the name of a fault's own provider, which does not rest or pause because of another fault."""
    return f"a-{fault.replace(':', '-')}"


@dataclass(frozen=True, slots=True)
class Billed:
    """A usage record, as exported."""

    status: int
    target: str
    attempts: int
    flags: str
    prompt: int
    completion: int
    cost: int
    estimated: bool
    failed: tuple[str, ...]


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    silent = {
        **provider_entry(provider_b),
        "name": "silent",
        "credentials": ["env:TEST_KEY_B"],
        "stream_usage": False,
    }

    def targets(*names: str) -> list[dict[str, Any]]:
        model = f"paced-{EVENTS}-{INTERVAL_MS}"
        return [
            {"provider": name, "model": model, "tier": tier, "price": PRICE} for tier, name in enumerate(names)
        ]

    return {
        "version": 1,
        "providers": [
            provider_entry(provider_a),
            provider_entry(provider_b),
            silent,
            *({**provider_entry(provider_a), "name": own(fault)} for fault in FAULTS),
        ],
        "routes": [
            {"model": "one", "targets": targets("a")},
            {"model": "two", "targets": targets("a", "b")},
            {"model": "untold", "targets": targets("silent")},
            *({"model": f"two-{own(fault)}", "targets": targets(own(fault), "b")} for fault in FAULTS),
        ],
    }


def body(model: str, *, stream: bool = True, usage: bool | None = None) -> dict[str, Any]:
    options = {} if usage is None else {"stream_options": {"include_usage": usage}}
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "stream": stream, **options}


async def billed(gateway: GatewayProcess, request_id: str) -> Billed:
    """Returns the record of one request, once it is in the ledger."""
    record = await recorded(gateway, lambda each: each["id"] == request_id)
    return Billed(
        status=record["status"],
        target=record["target_id"],
        attempts=record["attempts"],
        flags=record["response_flags"],
        prompt=record["prompt_tokens"],
        completion=record["completion_tokens"],
        cost=record["cost_micro_usd"],
        estimated=record["estimated"],
        failed=tuple(f"{each['target_id']}:{each['status']}" for each in record["failed_attempts"]),
    )


async def recorded(gateway: GatewayProcess, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Returns the newest record for which `wanted` holds, as `trunkline usage export` prints it."""

    async def found() -> list[dict[str, Any]]:
        return [record for record in await exported(gateway) if wanted(record)]

    return (await until_answered(found, 200))[-1]


async def read_events(
    gateway: GatewayProcess, request: dict[str, Any], stop_after: int | None, *, http2: bool
) -> str:
    """Sends the request, reads `stop_after` events (None: all), and disconnects. Returns the request's id."""
    async with httpx.AsyncClient(http1=not http2, http2=http2, timeout=240) as client:
        headers = {"authorization": f"Bearer {gateway.api_key}"}
        async with client.stream(
            "POST", f"{gateway.base_url}/chat/completions", json=request, headers=headers
        ) as got:
            seen = 0
            try:
                async for line in got.aiter_lines():
                    seen += line.startswith("data:")
                    if stop_after is not None and seen >= stop_after:
                        break
            except httpx.HTTPError:
                pass  # an upstream that died: the stream ends visibly broken
            return got.headers["x-request-id"]


def cost_of(record: Billed) -> int:
    return record.prompt * 1 + record.completion * 2


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("usage", [None, True, False], ids=["open", "asked", "declined"])
@pytest.mark.parametrize("stop_after", [1, EVENTS // 2, EVENTS, None])
async def test_a_client_that_leaves_pays_for_what_it_got(
    gateway: GatewayProcess, provider_a: ProviderProcess, stop_after: int | None, usage: bool | None, http2: bool
) -> None:
    if stop_after is not None:  # the provider sends nothing more until the client has left
        await provider_a.abehave("held", after_events=stop_after)
    request_id = await read_events(gateway, body("one", usage=usage), stop_after, http2=http2)
    record = await billed(gateway, request_id)
    assert (record.status, record.target) == (200, f"a/paced-{EVENTS}-{INTERVAL_MS}")
    assert record.cost == cost_of(record)
    if stop_after is None:
        assert record.flags in ("", "-")
        assert record.completion == EVENTS
        assert record.prompt == PROMPT_TOKENS
        assert not record.estimated
    else:
        assert "DC" in record.flags
        assert record.estimated
        # One event is no token (the role).
        assert stop_after - 3 <= record.completion <= stop_after


async def test_a_client_that_leaves_before_the_first_byte_pays_nothing_for_output(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("hang")
    before = await provider_a.acounters()
    async with aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {gateway.api_key}"}
        sent = asyncio.create_task(
            session.post(f"{gateway.base_url}/chat/completions", json=body("one"), headers=headers)
        )
        assert await provider_a.await_for("requests", before["requests"] + 1)
        sent.cancel()
    newest = await recorded(gateway, lambda each: each["model"] == "one" and each["first_byte_us"] == 0)
    assert "DC" in newest["response_flags"]
    assert newest["completion_tokens"] == 0


async def test_an_upstream_that_dies_mid_stream_is_billed_for_what_came(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("die_mid_stream", after_events=10)
    record = await billed(gateway, await read_events(gateway, body("one"), None, http2=False))
    assert record.estimated
    assert 8 <= record.completion <= 11
    assert record.cost == cost_of(record)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_retry_is_billed_once_at_the_target_that_answered(
    gateway: GatewayProcess, provider_a: ProviderProcess, fault: str
) -> None:
    await provider_a.abehave(fault)
    model = f"two-{own(fault)}"
    record = await billed(gateway, await read_events(gateway, body(model), None, http2=False))
    assert record.target == f"b/paced-{EVENTS}-{INTERVAL_MS}"
    assert record.attempts == 2
    assert record.completion == EVENTS
    assert not record.estimated
    status = fault.partition(":")[2] or "0"
    assert record.failed == (f"{own(fault)}/paced-{EVENTS}-{INTERVAL_MS}:{status}",)


async def test_two_failures_cost_nothing(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    for provider in (provider_a, provider_b):
        await provider.abehave("status:500")
    record = await billed(gateway, await read_events(gateway, body("two"), None, http2=False))
    assert (record.status, record.cost, record.completion) == (500, 0, 0)


async def test_an_upstream_without_usage_is_estimated(gateway: GatewayProcess) -> None:
    record = await billed(gateway, await read_events(gateway, body("untold"), None, http2=False))
    assert record.estimated
    assert EVENTS - 2 <= record.completion <= EVENTS + 2
    assert record.cost == cost_of(record)


async def test_plain_answers_are_exact(gateway: GatewayProcess) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {gateway.api_key}", "x-trunkline-tag": "team blue"}
        url = f"{gateway.base_url}/chat/completions"
        async with session.post(url, json=body("one", stream=False), headers=headers) as answer:
            reported = (await answer.json())["usage"]
            request_id = answer.headers["x-request-id"]
    record = await billed(gateway, request_id)
    assert (record.prompt, record.completion) == (reported["prompt_tokens"], reported["completion_tokens"])
    assert not record.estimated
    assert record.cost == cost_of(record)
