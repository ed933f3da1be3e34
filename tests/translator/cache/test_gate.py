"""Requests of a route that caches, one after the other and at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest
import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.policies import OTHER_VALUE, VALUE
from translator.authorise import Authoriser, Decision
from translator.cache import gate
from translator.cache.gate import CacheGate
from translator.cache.memory import MemoryStore
from translator.cache.stores import Stores
from translator.checks.answers import Allowed, Answered
from translator.checks.frames import Copied, Passed
from translator.checks.waits import Waits
from translator.errors import Refusal
from translator.limits import Limiter
from translator.message import Request
from translator.metering import Meter

NOW = 1_800_000_000.0
ANSWER = json.dumps(
    {"id": "x", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
).encode()


class Edge:
    """A translator whose routes cache, as Envoy's module sees it."""

    def __init__(self, *limits: policy.Limit, **cache: Any) -> None:
        route = policies.route()
        route.cache_ttl_seconds = cache.get("ttl", 60)
        route.cache_most_bytes = cache.get("max_bytes", 0)
        route.limits.extend(limits)
        self.store = policies.store(policies.organisation(), policies.key(), route)
        self.now = NOW
        self.limiter = Limiter(self.store.limits_by_id)
        self.cached = MemoryStore(clock=lambda: self.now)
        self.gate = CacheGate(
            Stores(structlog.get_logger(), self.cached),
            lambda reservation, passed: reservation.tokens,
            lambda: self.now,
        )
        meter = Meter(self.limiter, clock=lambda: self.now)
        self.authoriser = Authoriser(self.store, meter, lambda: self.now, cache=self.gate)
        self._numbers = iter(range(1, 10_000))

    async def ask(self, content: str = "hi", **more: Any) -> Allowed | Answered:
        decision = self.decide(content, **more)
        if isinstance(decision, Awaitable):
            decision = await decision
        return await waited(decision) if isinstance(decision, Waits) else decision

    def decide(
        self, content: str = "hi", *, control: str = "", request_id: str = "", value: str = VALUE, **more: Any
    ) -> Decision:
        sent = {b"authorization": b"Bearer " + value.encode(), b"cache-control": control.encode()}
        sent[b"x-request-id"] = (request_id or f"r-{next(self._numbers)}").encode()
        body = json.dumps(
            {"model": "gpt-4.1", "messages": [{"role": "user", "content": content}], **more}
        ).encode()
        return self.authoriser.decide(Request("POST", b"/v1/chat/completions", sent, body))

    def pass_on(self, allowed: Allowed | Answered, body: bytes = ANSWER) -> None:
        """Passes the answer through Envoy."""
        assert isinstance(allowed, Allowed)
        passed = Passed("application/json", "a/m", b"", body)
        self.authoriser.copied(Copied(allowed.copy, passed))

    def cut(self, allowed: Allowed | Answered, *, left: bool) -> None:
        assert isinstance(allowed, Allowed)
        self.authoriser.copied(Copied(allowed.copy, None, left))


async def waited(waits: Waits[Answered | Exception]) -> Allowed | Answered:
    """Returns the outcome of a request that waits. A cancelled one stands for a client that left."""
    coming: asyncio.Future[Allowed | Answered | Exception] = asyncio.get_running_loop().create_future()
    waits.start(coming.set_result)
    assert not coming.done()
    try:
        outcome = await coming
    except asyncio.CancelledError:
        waits.cancel()
        raise
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def how(decision: Allowed | Answered) -> str:
    return decision.headers["x-trunkline-cache"]


async def waiting(*tasks: asyncio.Task[Any]) -> None:
    """Lets tasks run until they wait."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_an_answer_that_passed_is_given_out_again() -> None:
    edge = Edge()
    first = await edge.ask()
    assert isinstance(first, Allowed)
    assert (how(first), bool(first.copy)) == ("miss", True)
    edge.pass_on(first)
    edge.now += 7.5
    second = await edge.ask(request_id="r-hit")
    assert isinstance(second, Answered)
    assert second.body == ANSWER
    assert second.headers == {
        "content-type": "application/json",
        "x-request-id": "r-hit",
        "x-trunkline-cache": "hit",
        "age": "7",
    }
    saved = first.log_context.split()[6]
    assert second.log_context == f"r-hit {edge.now * 1e6:.0f} org_acme key_ci rt_gpt gpt-4.1 0 0n 0 pc{saved} - -"
    edge.now += 60
    assert how(await edge.ask()) == "miss"


async def test_a_route_without_a_cache_is_left_alone() -> None:
    decision = await Edge(ttl=0).ask()
    assert isinstance(decision, Allowed)
    assert (decision.copy, "x-trunkline-cache" in decision.headers) == ("", False)


async def test_a_kept_answer_counts_as_a_request_and_uses_nothing_else() -> None:
    requests = policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=3)
    tokens = policy.Limit(metric=policy.METRIC_TOKENS, per_seconds=60, amount=1_100)
    edge = Edge(requests, tokens)
    edge.pass_on(await edge.ask())
    for _ in range(2):
        assert how(await edge.ask()) == "hit"
    with pytest.raises(Refusal) as caught:
        await edge.ask()
    assert caught.value.code == "rate_limit_exceeded"


async def test_a_kept_answer_takes_no_place_among_the_concurrent_ones() -> None:
    edge = Edge(policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=2))
    first = await edge.ask()
    edge.pass_on(first)
    for _ in range(5):
        assert how(await edge.ask()) == "hit"


async def test_cache_control_is_obeyed() -> None:
    edge = Edge()
    edge.pass_on(await edge.ask())
    skipped = await edge.ask(control="no-store")
    assert isinstance(skipped, Allowed)
    assert (how(skipped), skipped.copy) == ("bypass", "")
    fresh = await edge.ask(control="No-Cache")
    assert how(fresh) == "stored"
    other = ANSWER.replace(b"hi", b"ho")
    edge.pass_on(fresh, other)
    again = await edge.ask()
    assert isinstance(again, Answered)
    assert again.body == other


@pytest.mark.parametrize(
    ("ttl", "passed", "outcome"),
    [(60, 30, "hit"), (20, 30, "miss"), (0, 30, ""), (3_600, 90, "miss"), (60, -30, "hit"), (60, -3_600, "miss")],
)
async def test_an_answer_is_no_older_than_the_route_allows_now(ttl: int, passed: int, outcome: str) -> None:
    """The lifetime may change while an answer is cached, and the clock may go back."""
    edge = Edge(ttl=60)
    edge.pass_on(await edge.ask())
    route = policies.route()
    route.cache_ttl_seconds = ttl
    edge.store.apply(policies.response(policies.ROUTE, route))
    edge.now += passed
    assert (await edge.ask()).headers.get("x-trunkline-cache", "") == outcome


async def test_an_answer_that_cannot_be_converted_is_fetched_in_the_other_form() -> None:
    edge = Edge()
    edge.pass_on(await edge.ask(), ANSWER.replace(b'"content": "hi"', b'"tool_calls": ["x"]'))
    assert how(await edge.ask()) == "hit"
    assert how(await edge.ask(stream=True)) == "miss"


@pytest.mark.parametrize("body", [b"", b"{", ANSWER.replace(b'"stop"', b"null")])
async def test_what_is_no_whole_answer_is_not_kept(body: bytes) -> None:
    edge = Edge()
    edge.pass_on(await edge.ask(), body)
    assert how(await edge.ask()) == "miss"


async def test_a_thousand_identical_requests_are_one() -> None:
    edge = Edge()
    tasks = [asyncio.create_task(edge.ask()) for _ in range(1_000)]
    await waiting(*tasks[1:])
    edge.pass_on(tasks[0].result())
    decisions = await asyncio.gather(*tasks[1:])
    assert {how(each) for each in decisions} == {"hit"}


async def test_a_request_that_waits_says_for_how_long_and_on_whose_account() -> None:
    edge = Edge()
    await edge.ask()
    waits = edge.decide()
    assert isinstance(waits, Waits)
    assert (waits.queued.longest, waits.queued.account) == (gate._LONGEST_WAIT, "org_acme/key_ci")


async def test_a_client_that_waits_and_leaves_is_forgotten() -> None:
    edge = Edge()
    first = await edge.ask()
    leaving, staying = (asyncio.create_task(edge.ask()) for _ in range(2))
    await waiting(leaving, staying)
    leaving.cancel()
    await waiting(staying)
    edge.cut(first, left=True)
    assert how(await staying) == "miss", "the one that left would have been the next"


async def test_those_that_wait_share_an_answer_that_does_not_fit_the_memory() -> None:
    edge = Edge(max_bytes=10)
    first = await edge.ask()
    others = [asyncio.create_task(edge.ask()) for _ in range(5)]
    await waiting(*others)
    edge.pass_on(first)
    assert {how(each) for each in await asyncio.gather(*others)} == {"hit"}
    assert how(await edge.ask()) == "miss"


async def test_one_that_comes_while_a_long_answer_is_looked_at_is_given_it_too() -> None:
    edge = Edge()
    first = await edge.ask()
    edge.pass_on(first, ANSWER.replace(b"hi", b"h" * 200_000))
    assert how(await edge.ask()) == "hit"


async def test_other_requests_do_not_wait() -> None:
    edge = Edge()
    await edge.ask("a")
    assert how(await edge.ask("b")) == "miss"


async def test_the_next_one_goes_where_the_first_client_left() -> None:
    edge = Edge()
    first = await edge.ask()
    others = [asyncio.create_task(edge.ask()) for _ in range(3)]
    await waiting(*others)
    edge.cut(first, left=True)
    done, pending = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    (second,) = (task.result() for task in done)
    assert how(second) == "miss"
    await waiting(*pending)
    edge.pass_on(second)
    assert {how(await task) for task in pending} == {"hit"}


async def test_all_clients_leave_at_once_and_nothing_is_on_its_way_any_more() -> None:
    edge = Edge()
    first = await edge.ask()
    waits = edge.decide(request_id="r-second")
    assert isinstance(waits, Waits)
    answered: list[object] = []
    waits.start(answered.append)
    await waiting()
    edge.cut(first, left=True)
    waits.cancel()
    edge.authoriser.end("r-second")
    await waiting()
    assert answered == []
    assert how(await edge.ask()) == "miss"


async def test_all_go_where_the_first_answer_failed() -> None:
    edge = Edge()
    first = await edge.ask()
    others = [asyncio.create_task(edge.ask()) for _ in range(3)]
    await waiting(*others)
    edge.cut(first, left=False)
    assert {how(each) for each in await asyncio.gather(*others)} == {"miss"}


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_LONGEST_WAIT", 0.05)
    edge = Edge()
    await edge.ask()
    assert {how(each) for each in await asyncio.gather(edge.ask(), edge.ask())} == {"miss"}


async def test_a_first_request_that_nobody_heard_of_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_GRACE", 0.05)
    edge = Edge()
    await edge.ask(request_id="r-lost")
    other = asyncio.create_task(edge.ask())
    await waiting(other)
    edge.authoriser.end("r-lost")
    assert how(await other) == "miss"


async def test_a_request_that_is_asked_again_does_not_wait_for_itself() -> None:
    edge = Edge()
    first = await edge.ask(request_id="r-1")
    again = await edge.ask(request_id="r-1")
    assert isinstance(first, Allowed)
    assert isinstance(again, Allowed)
    assert first.copy == again.copy == "r-1"


async def test_who_waited_and_lost_its_key_gets_nothing() -> None:
    edge = Edge()
    first = await edge.ask()
    other = asyncio.create_task(edge.ask())
    await waiting(other)
    edge.store.apply(policies.response(policies.KEY, removed=["key_ci"]))
    edge.pass_on(first)
    with pytest.raises(Refusal):
        await other


async def test_a_change_of_the_route_does_not_turn_away_who_waits() -> None:
    edge = Edge()
    first = await edge.ask()
    other = asyncio.create_task(edge.ask())
    await waiting(other)
    changed = policies.route()
    changed.cache_ttl_seconds, changed.reserved_output_tokens = 60, 7
    edge.store.apply(policies.response(policies.ROUTE, changed))
    edge.pass_on(first)
    assert how(await other) == "hit"


async def test_who_waited_and_lost_the_model_gets_nothing() -> None:
    edge = Edge()
    first = await edge.ask()
    other = asyncio.create_task(edge.ask())
    await waiting(other)
    edge.store.apply(policies.response(policies.ROUTE, removed=["rt_gpt"]))
    edge.pass_on(first)
    with pytest.raises(Refusal):
        await other


async def test_a_stranger_is_refused_before_anything_is_looked_up() -> None:
    edge = Edge()
    edge.pass_on(await edge.ask())
    with pytest.raises(Refusal):
        await edge.ask(value=OTHER_VALUE)


async def test_a_long_answer_is_looked_at_beside_the_loop() -> None:
    edge = Edge()
    first = await edge.ask()
    other = asyncio.create_task(edge.ask())
    await waiting(other)
    edge.pass_on(first, ANSWER.replace(b"hi", b"h" * 200_000))
    assert how(await other) == "hit"


async def test_an_unknown_copy_is_ignored() -> None:
    Edge().authoriser.copied(Copied("nobody", Passed("application/json", "a/m", b"", ANSWER)))
