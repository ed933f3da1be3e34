"""Requests whose bodies are read in other processes get the same decision, only later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine

import pytest
import structlog
from msgspec.structs import replace

from tests.translator import policies
from tests.translator.policies import VALUE
from translator.authorise import Authoriser
from translator.checks.answers import Allowed
from translator.errors import Refusal
from translator.limits import Limiter
from translator.message import Request
from translator.metering import Meter
from translator.policy.store import PolicyStore
from translator.reading import budget
from translator.reading.pool import ReadingPool

NOW = 1_800_000_000.0
LONG = 300_000


class Edge:
    """An authoriser with everything that it needs; `now` is its clock."""

    def __init__(self) -> None:
        self.now = NOW
        self.store: PolicyStore = policies.default_store()
        self.limiter = Limiter(self.store.limits_by_id)
        self.pool = ReadingPool(structlog.get_logger())
        meter = Meter(self.limiter, clock=lambda: self.now)
        self.authoriser = Authoriser(self.store, meter, lambda: self.now, self.pool)
        self.pool.on_abandoned = self.authoriser.charge

    async def ask(self, check: Request) -> Allowed:
        decided = self.authoriser.decide(check)
        if isinstance(decided, Coroutine):
            decided = await decided
        assert isinstance(decided, Allowed)
        return decided


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    made = Edge()
    yield made
    await made.pool.close()


def request(body: bytes, *, cut: bool = True) -> Request:
    headers = {b"authorization": b"Bearer " + VALUE.encode(), b"x-request-id": b"r-1"}
    pieces = tuple(body[at : at + 100_000] for at in range(0, len(body), 100_000)) if cut else ()
    return Request("POST", b"/v1/chat/completions", headers, b"" if cut else body, pieces)


def long_body(model: str = "gpt-4.1") -> bytes:
    content = {"role": "user", "content": "x" * LONG}
    return json.dumps({"messages": [content], "stream": True, "user": "u", "model": model}).encode()


@pytest.mark.processes
async def test_the_answer_is_the_same(edge: Edge) -> None:
    body = long_body()
    later = await edge.ask(request(body))
    alone = Edge()
    assert later == Authoriser(alone.store, Meter(alone.limiter, clock=lambda: NOW), lambda: NOW).decide(
        request(body, cut=False)
    )
    assert edge.limiter.outstanding == 1
    assert edge.pool.bodies == 1


async def test_what_is_light_is_decided_at_once(edge: Edge) -> None:
    assert isinstance(edge.authoriser.decide(request(b'{"model":"gpt-4.1"}', cut=False)), Allowed)
    text = json.dumps({"model": "gpt-4.1", "messages": "x" * 200_000}).encode()
    assert isinstance(edge.authoriser.decide(request(text, cut=False)), Allowed)


@pytest.mark.processes
async def test_a_key_that_is_revoked_meanwhile(edge: Edge) -> None:
    decided = edge.authoriser.decide(request(long_body()))
    assert isinstance(decided, Coroutine)
    edge.store.apply(policies.response(policies.KEY, removed=["key_ci"]))
    with pytest.raises(Refusal) as caught:
        await decided
    assert caught.value.status == 401
    assert edge.limiter.outstanding == 0


@pytest.mark.processes
async def test_nothing_is_reserved_for_a_client_that_has_left(edge: Edge) -> None:
    asked = asyncio.create_task(edge.ask(request(long_body())))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await edge.ask(replace(request(long_body()), headers=request(b"").headers | {b"x-request-id": b"r-2"}))
    assert [reservation.id for reservation in edge.limiter.reservations] == ["r-2"]


@pytest.mark.processes
async def test_work_that_comes_to_nothing_is_charged(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_CAPACITY", 1e-6)
    for body in (long_body("nonesuch"), b'{"model":"gpt-4.1","Model":"' + b"x" * LONG + b'"}'):
        with pytest.raises(Refusal) as caught:
            await edge.ask(request(body))
        assert caught.value.status in {400, 404}
        for again in (edge.authoriser.decide, edge.authoriser.admit):
            with pytest.raises(Refusal) as caught:
                again(request(b'{"model":"gpt-4.1"}', cut=False))
            assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
            assert int(caught.value.headers["retry-after"]) >= 1
        edge.now += 1_000
        await edge.ask(request(b'{"model":"gpt-4.1"}', cut=False))


async def test_bodies_read_at_once_are_charged_too(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_CAPACITY", 1e-9)
    with pytest.raises(Refusal):
        edge.authoriser.decide(request(b"{", cut=False))
    with pytest.raises(Refusal) as caught:
        edge.authoriser.decide(request(b'{"model":"gpt-4.1"}', cut=False))
    assert caught.value.status == 429


@pytest.mark.processes
async def test_what_is_served_is_not_charged(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_CAPACITY", 1e-9)
    for _ in range(3):
        await edge.ask(request(b'{"model":"gpt-4.1"}', cut=False))
        await edge.ask(request(long_body()))
