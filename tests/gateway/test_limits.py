"""Limits and budgets through the whole gateway: exact under races, reported, changed at once, kept
over restarts.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import hmac
import json
import math
import resource
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import grpc
import grpc.aio
import pytest
from aiohttp import web
from trunkline_proto.admin.v1 import admin_pb2, admin_pb2_grpc

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.usage import exported, settled
from tests.waiting import until

PRICE = {"input": 1.0, "output": 2.0}
#: Tokens that the fake produces, and tokens reserved for a request without a maximum.
OUTPUT, RESERVED = 20, 5
MODEL, DENSE = f"paced-{OUTPUT}-0", f"dense-paced-{OUTPUT}-0"
REFUSED = 429
#: A change acts within 0.25 s (see `make bench`); this bound only shows that nothing polls at some interval.
GENEROUS_SECONDS = 60.0


def body(model: str = MODEL, **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "x" * 40}], **more}).encode()


def reserved_cost(sent: bytes, output: int) -> int:
    """Returns the reserved micro-USD, by the documented rule."""
    return len(sent) // 4 + 2 * output


def usd(micro: int) -> str:
    return f"{micro // 10**6}.{micro % 10**6:06}"


def organisation(name: str, *limits: dict[str, Any], of_key: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    key = {"name": "ci", "value": key_of(name), "limits": list(of_key)}
    return {"name": name, "limits": list(limits), "keys": [key]}


def key_of(organisation: str) -> str:
    return f"sk-key-of-{organisation}-1234"


MAXIMUM = 8
BUDGET = 10 * reserved_cost(body(max_tokens=MAXIMUM), MAXIMUM)
DENSE_BUDGET = 10 * reserved_cost(body(DENSE), RESERVED)
MONTHLY = {"metric": "cost_usd", "per": "month", "time_zone": "Europe/Berlin", "amount": 0.000_100}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            {
                "model": model,
                "targets": [{"provider": "a", "model": model, "price": PRICE}],
                "reserved_output_tokens": RESERVED,
            }
            for model in (MODEL, DENSE)
        ],
        "organisations": [
            organisation("ten", {"metric": "requests", "per": "366d", "amount": 10}),
            organisation("budget", {"metric": "cost_usd", "per": "366d", "amount": usd(BUDGET)}),
            organisation("dense", {"metric": "cost_usd", "per": "366d", "amount": usd(DENSE_BUDGET)}),
            # A sliding window, of which nothing leaves while the test runs.
            organisation("hundred", {"metric": "requests", "per": "59m", "amount": 100}),
            organisation("narrow", {"metric": "concurrency", "amount": 3}),
            organisation("single", {"metric": "concurrency", "amount": 1}),
            organisation("poor", of_key=(MONTHLY,)),
            organisation("changed"),
            organisation("kept", {"metric": "requests", "per": "366d", "amount": 10}),
            organisation(
                "told", {"metric": "requests", "per": "366d", "amount": 4, "each": "user", "alerts": [0.5]}
            ),
            organisation(
                "users",
                {"metric": "requests", "per": "366d", "amount": 2, "each": "user", "alerts": [1]},
                {"metric": "tokens", "per": "366d", "amount": 1, "soft": True, "alerts": [1]},
            ),
        ],
    }


@pytest.fixture(autouse=True)
def quick_again(provider_a: ProviderProcess) -> Iterator[None]:
    yield
    provider_a.behave("ok")


@contextmanager
def many_files(number: int) -> Iterator[None]:
    """Allows many open files: a thousand connections need more than shells usually allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(number, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ask(gateway: GatewayProcess, of: str, sent: bytes = b"") -> tuple[int, Any, Mapping[str, str]]:
    """Sends a request. Returns status, JSON and headers."""
    headers = {"authorization": f"Bearer {key_of(of)}", "content-type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{gateway.base_url}/chat/completions", data=sent or body()) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


async def at_once(
    gateway: GatewayProcess, of: str, times: int, sent: bytes = b"", counted: Counter[int] | None = None
) -> Counter[int]:
    """Sends requests at once. Returns how often each status occurred; counts in `counted` meanwhile."""
    counted = Counter() if counted is None else counted
    headers = {"authorization": f"Bearer {key_of(of)}", "content-type": "application/json"}
    url = f"{gateway.base_url}/chat/completions"
    with many_files(times + 200):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

            async def one() -> None:
                async with session.post(url, data=sent or body()) as answer:
                    await answer.read()
                    counted[answer.status] += 1

            await asyncio.gather(*(one() for _ in range(times)))
    return counted


async def beside_each_other(
    gateway: GatewayProcess, provider: ProviderProcess, of: str, times: int, passing: int, sent: bytes = b""
) -> Counter[int]:
    """Sends requests, of which `passing` run until the others are refused. Returns how often each status
    occurred.
    """
    counted: Counter[int] = Counter()
    await provider.abehave("held")
    asking = asyncio.create_task(at_once(gateway, of, times, sent, counted))
    try:
        await until(lambda: counted.total() >= times - passing)
    finally:
        await provider.abehave("ok")
        await asking
    return counted


async def cost_of(gateway: GatewayProcess, of: str) -> list[int]:
    """Returns the micro-USD of each of an organisation's requests that reached the provider."""
    await settled(gateway)
    return [each["cost_micro_usd"] for each in await exported(gateway, "--org", of) if each["target_id"]]


async def test_of_200_at_once_a_budget_of_ten_lets_ten_pass(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    assert await beside_each_other(gateway, provider_a, "ten", 200, 10) == {200: 10, REFUSED: 190}
    assert await at_once(gateway, "ten", 20) == {REFUSED: 20}


async def test_of_200_at_once_no_more_than_the_money_is_spent(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """Ten fit while they are reserved; the unused rest is spent again, but never more than that."""
    sent = body(max_tokens=MAXIMUM)
    assert await beside_each_other(gateway, provider_a, "budget", 200, 10, sent) == {200: 10, REFUSED: 190}
    spent = await cost_of(gateway, "budget")
    assert len(spent) == 10
    assert 0 < sum(spent) < BUDGET
    while await at_once(gateway, "budget", 200, sent) != {REFUSED: 200}:
        await settled(gateway)
    spent = await cost_of(gateway, "budget")
    assert BUDGET - reserved_cost(sent, MAXIMUM) < sum(spent) <= BUDGET


async def test_a_budget_is_overshot_by_what_requests_used_beyond_their_reservations_alone(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    sent = body(DENSE)
    assert await beside_each_other(gateway, provider_a, "dense", 200, 10, sent) == {200: 10, REFUSED: 190}
    beyond = [each - reserved_cost(sent, RESERVED) for each in await cost_of(gateway, "dense")]
    assert len(beyond) == 10
    assert min(beyond) > 0
    assert await at_once(gateway, "dense", 20, sent) == {REFUSED: 20}
    assert len(await cost_of(gateway, "dense")) == 10


async def test_of_1000_at_once_a_rate_of_100_lets_100_pass(gateway: GatewayProcess) -> None:
    assert await at_once(gateway, "hundred", 1000) == {200: 100, REFUSED: 900}


async def test_three_at_a_time_are_three_at_a_time(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    assert await beside_each_other(gateway, provider_a, "narrow", 50, 3) == {200: 3, REFUSED: 47}
    assert (await ask(gateway, "narrow"))[0] == 200


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streams"])
@pytest.mark.parametrize("connections", [1, 20])
async def test_one_at_a_time_may_follow_at_once(gateway: GatewayProcess, stream: bool, connections: int) -> None:
    """A place is free when its request ends, not when Envoy logs it."""
    headers = {"authorization": f"Bearer {key_of('single')}", "content-type": "application/json"}
    url = f"{gateway.base_url}/chat/completions"
    statuses = []
    for _ in range(connections):
        async with aiohttp.ClientSession(headers=headers) as session:  # kept alive within one process
            for _ in range(20 // connections):
                async with session.post(url, data=body(stream=stream)) as answer:
                    statuses.append(answer.status)
                    text = await answer.text()
                    assert not stream or text.rstrip().endswith("data: [DONE]")
    assert statuses == [200] * 20


async def test_a_client_that_leaves_gives_its_place_back(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    before = (await provider_a.acounters())["requests"]
    await provider_a.abehave("hang")
    leaving = asyncio.create_task(ask(gateway, "single"))
    assert await provider_a.await_for("requests", before + 1)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    await provider_a.abehave("ok")
    begun = time.monotonic()
    while (await ask(gateway, "single"))[0] != 200:
        assert time.monotonic() - begun < GENEROUS_SECONDS


_OK = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
_CHUNKED = f"{_OK}transfer-encoding: chunked\r\n\r\n"
#: How a provider may end a request.
ENDINGS: dict[str, dict[str, Any]] = {
    "reset": {"mode": "reset"},
    "dies": {"mode": "die_mid_stream"},
    "no HTTP": {"raw": "SSH-2.0-x\r\n", "closes": True},
    "shorter than announced": {"raw": f"{_OK}content-length: 99\r\n\r\ndata: 1\n\n", "closes": True},
    "a chunk of no length": {"raw": f"{_CHUNKED}zz\r\n"},
    "a chunk that is cut": {"raw": f"{_CHUNKED}9\r\ndata", "closes": True},
    "trailers": {"raw": f"{_CHUNKED}9\r\ndata: 1\n\n\r\n0\r\nx-secret: sk-provider-a\r\nx: y\r\n\r\n"},
    "hints before": {"raw": f"HTTP/1.1 103 X\r\nlink: <x>\r\n\r\n{_CHUNKED}9\r\ndata: 1\n\n\r\n0\r\n\r\n"},
    "two answers": {"raw": f"{_OK}content-length: 0\r\n\r\n{_OK}content-length: 0\r\n\r\n"},
    "long headers": {"raw": f"{_OK}x: {'a' * 200_000}\r\n\r\n"},
    "a part": {"raw": "HTTP/1.1 206 X\r\ncontent-range: bytes 0-0/9\r\ncontent-length: 1\r\n\r\n{"},
    "not modified": {"raw": "HTTP/1.1 304 X\r\n\r\n"},
    "reset content": {"raw": "HTTP/1.1 205 X\r\ncontent-length: 0\r\n\r\n"},
    "compressed": {"raw": f"{_OK}content-encoding: br\r\ncontent-length: 3\r\n\r\nabc"},
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_however_a_request_ends_its_place_is_free(
    gateway: GatewayProcess, provider_a: ProviderProcess, name: str
) -> None:
    await provider_a.abehave(**{"mode": "raw", **ENDINGS[name]})
    headers = {"authorization": f"Bearer {key_of('single')}", "content-type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as session:
        with suppress(aiohttp.ClientPayloadError):
            async with session.post(f"{gateway.base_url}/chat/completions", data=body(stream=True)) as answer:
                assert b"sk-provider-a" not in await answer.read()
                assert not {"link", "x-secret"} & {each.lower() for each in answer.headers}
    await provider_a.abehave("ok")
    begun = time.monotonic()
    while (await ask(gateway, "single"))[0] != 200:
        assert time.monotonic() - begun < GENEROUS_SECONDS


async def test_a_request_that_every_target_refuses_gives_its_place_back(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    await provider_a.abehave("status", status=400)
    assert [(await ask(gateway, "single"))[0] for _ in range(5)] == [400] * 5
    await provider_a.abehave("ok")
    assert (await ask(gateway, "single"))[0] == 200


async def test_a_key_over_its_budget_learns_which_how_large_and_when_it_renews(gateway: GatewayProcess) -> None:
    before = datetime.now(UTC)
    while (answered := await ask(gateway, "poor"))[0] == 200:
        pass
    status, told, headers = answered
    zone = ZoneInfo("Europe/Berlin")
    renewals = set()
    for moment in (before, datetime.now(UTC)):
        local = moment.astimezone(zone)
        next_month = local.replace(year=local.year + local.month // 12, month=local.month % 12 + 1, day=1)
        renewals.add(next_month.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC))
    assert status == REFUSED
    error = told["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert (
        "The budget of key 'ci' does not suffice: 0.0001 USD per calendar month (Europe/Berlin)"
        in error["message"]
    )
    named = {each for each in renewals if f"It renews at {each:%Y-%m-%dT%H:%M:%SZ}." in error["message"]}
    assert len(named) == 1
    seconds = (named.pop() - datetime.now(UTC)).total_seconds()
    assert 0 <= int(headers["retry-after"]) - math.floor(seconds) <= 60


async def test_every_end_user_has_a_budget_and_its_end_is_reported(gateway: GatewayProcess) -> None:
    for user in ("alice", "bob", ""):
        named = {"user": user} if user else {}
        answers = [await ask(gateway, "users", body(**named)) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200, 200, REFUSED]
    assert (
        "for the end user 'bob'"
        in (await ask(gateway, "users", body(safety_identifier="bob")))[1]["error"]["message"]
    )

    def four_alerts() -> list[Any]:
        listed: list[Any] = json.loads(gateway.run("status", "--output", "json").stdout)["alerts"]
        found = [each for each in listed if each["holder"] == "org:users"]
        return found if len(found) >= 4 else []

    told = {f"{each['limit']} {each['value']}": each for each in await until(four_alerts, GENEROUS_SECONDS)}
    assert sorted(told) == [
        "requests/366d:user ", "requests/366d:user alice", "requests/366d:user bob", "tokens/366d ",
    ]  # fmt: skip

    def of_three_users() -> list[str]:
        listed = json.loads(gateway.run("limits", "list", "--output", "json").stdout)
        return [row["used"] for row in listed if row["values"] == 3]

    assert await until(of_three_users, GENEROUS_SECONDS) == ["2"]


async def test_a_webhook_gets_an_alert_once(gateway: GatewayProcess) -> None:
    secret, came = "a-secret-of-the-webhook", asyncio.Queue[tuple[str, bytes]]()

    async def take(request: web.Request) -> web.Response:
        came.put_nowait((request.headers["x-trunkline-signature"], await request.read()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    flags = ("--alert-webhook", url, "--alert-secret", "env:HOOK")
    await asyncio.to_thread(gateway.run, "gateway", "set", *flags, environment={"HOOK": secret})
    assert secret not in gateway.run("export").stdout + gateway.run("audit", "list", "--output", "json").stdout
    try:
        for _ in range(3):
            await ask(gateway, "told", body(user="carol"))
        signature, content = await asyncio.wait_for(came.get(), GENEROUS_SECONDS)
    finally:
        gateway.run("gateway", "set", "--alert-webhook", "")
        await runner.cleanup()
    at = signature.removeprefix("t=").partition(",")[0]
    expected = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256).hexdigest()
    assert signature == f"t={at},v1={expected}"
    (alert,) = json.loads(content)["alerts"]
    assert {name: alert[name] for name in ("holder", "limit", "end_user", "share", "taken")} == {
        "holder": "org:told",
        "limit": "requests/366d:user",
        "end_user": "carol",
        "share": 0.5,
        "taken": "2",
    }
    assert came.empty()


async def test_a_changed_limit_acts_at_once(gateway: GatewayProcess, config: dict[str, Any]) -> None:
    """The change acts on the next request after `apply` has returned; `make bench` measures from the call."""
    assert (await ask(gateway, "changed"))[0] == 200
    closed = copy.deepcopy(config)
    changed = next(each for each in closed["organisations"] if each["name"] == "changed")
    changed["limits"] = [{"metric": "requests", "per": "60s", "amount": 0}]
    await asyncio.to_thread(gateway.apply, closed)
    status, told, _ = await ask(gateway, "changed")
    assert (status, told["error"]["code"]) == (REFUSED, "rate_limit_exceeded")
    known = gateway.credentials
    metadata = (("authorization", f"Bearer {known['admin_token']}"),)
    async with grpc.aio.insecure_channel(known["control"]) as channel:
        admin = admin_pb2_grpc.AdminStub(channel)
        document = (await admin.Export(admin_pb2.ExportRequest(), metadata=metadata)).document
        of = next(each for each in document.organisations if each.organisation.name == "changed")
        of.organisation.limits[0].amount = 1_000_000
        begun = time.monotonic()
        applying = asyncio.ensure_future(admin.Apply(admin_pb2.ApplyRequest(document=document), metadata=metadata))
        while (await ask(gateway, "changed"))[0] != 200:
            assert time.monotonic() - begun < GENEROUS_SECONDS
        await applying


async def test_what_was_used_counts_after_a_restart_of_everything(tmp_path: Path, config: dict[str, Any]) -> None:
    gateway = GatewayProcess(tmp_path / "data", config, environment=PROVIDER_CREDENTIALS)
    statuses = []
    try:
        for _ in range(3):
            await asyncio.to_thread(gateway.start)
            statuses.append([(await ask(gateway, "kept"))[0] for _ in range(4)])
            await asyncio.to_thread(gateway.stop)
    finally:
        await asyncio.to_thread(gateway.stop)
    assert statuses == [[200] * 4, [200] * 4, [200, 200, REFUSED, REFUSED]]
