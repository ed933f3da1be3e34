"""A route that caches answers and lets requests wait for a place: a cached answer needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.cache.test_gate import Edge
from tests.waiting import until
from translator.authorise import Decision
from translator.checks.answers import Allowed, Answered
from translator.checks.waits import Waits
from translator.waiting import QUEUED_MS, WaitingRoom

PATIENCE = 60


class Full(Edge):
    """A translator with one place and a line before it."""

    def __init__(self) -> None:
        super().__init__(policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=1))
        (route,) = next(each for each in self.store.contents() if each.type_url == policies.ROUTE).resources
        message = policy.Route.FromString(route.resource.value)
        message.queue_longest_ms = 60_000
        self.store.apply(policies.response(policies.ROUTE, message))
        self.room = WaitingRoom()
        self.limiter.on_freed = self.room.freed
        self.authoriser._waiting = self.room
        self.outcomes: dict[str, Allowed | Answered | Exception] = {}

    def waits(self, decision: Decision, name: str) -> Waits[Answered | Exception]:
        """Expects that the request waits; its result goes to `outcomes`."""
        assert isinstance(decision, Waits)
        decision.start(lambda outcome: self.outcomes.__setitem__(name, outcome))
        return decision

    def end(self, request_id: str) -> None:
        self.authoriser.end(request_id)

    async def until(self, *names: str) -> Sequence[Allowed | Answered | Exception]:
        await until(lambda: all(name in self.outcomes for name in names), PATIENCE)
        return [self.outcomes[name] for name in names]

    @property
    def in_line(self) -> int:
        return sum(1 for _ in self.room.positions())


async def test_a_kept_answer_needs_no_place() -> None:
    """A cached answer is sent even while others wait for a place."""
    edge = Full()
    edge.pass_on(await edge.ask("kept", request_id="a"))
    edge.end("a")
    assert isinstance(await edge.ask("long", request_id="b"), Allowed)
    edge.waits(edge.decide("other", request_id="c"), "c")
    hit = await edge.ask("kept")
    assert isinstance(hit, Answered)
    assert hit.headers["x-trunkline-cache"] == "hit"
    assert edge.in_line == 1


async def test_one_that_waited_is_kept() -> None:
    edge = Full()
    await edge.ask("first", request_id="a")
    edge.waits(edge.decide("second", request_id="b"), "b")
    edge.end("a")
    (allowed,) = await edge.until("b")
    assert isinstance(allowed, Allowed)
    assert (allowed.headers["x-trunkline-cache"], allowed.copy) == ("miss", "b")
    assert QUEUED_MS in allowed.headers
    edge.pass_on(allowed)
    edge.end("b")
    assert isinstance(await edge.ask("second"), Answered)


async def test_identical_ones_that_wait_take_one_place() -> None:
    """The first of them runs when it has a place; the others get its answer."""
    edge = Full()
    await edge.ask("first", request_id="a")
    for name in ("b", "c", "d"):
        edge.waits(edge.decide("same", request_id=name), name)
    assert edge.in_line == 3
    edge.end("a")
    (allowed,) = await edge.until("b")
    assert isinstance(allowed, Allowed)
    # They no longer wait for a place, so the free one is not theirs.
    assert edge.in_line == 0
    edge.pass_on(allowed)
    for answered in await edge.until("c", "d"):
        assert isinstance(answered, Answered)
        assert QUEUED_MS in answered.headers
    assert edge.limiter.outstanding == 4


async def test_one_whose_answer_came_while_it_waited_has_it() -> None:
    edge = Full()
    first = await edge.ask("same", request_id="a")
    await asyncio.sleep(0)
    edge.waits(edge.decide("other", request_id="b"), "b")
    follower = edge.waits(edge.decide("same", request_id="c"), "c")  # joins the running one
    edge.pass_on(first)
    (answered,) = await edge.until("c")
    assert isinstance(answered, Answered)
    assert follower is not None
    assert "b" not in edge.outcomes


async def test_followers_of_one_that_failed_stand_in_line() -> None:
    edge = Full()
    first = await edge.ask("same", request_id="a")
    edge.waits(edge.decide("same", request_id="b"), "b")
    leaving = edge.waits(edge.decide("same", request_id="c"), "c")
    edge.cut(first, left=False)
    await until(lambda: edge.in_line >= 2, PATIENCE)
    leaving.cancel()
    assert edge.in_line == 1
    edge.end("a")
    (allowed,) = await edge.until("b")
    assert isinstance(allowed, Allowed)
    assert "c" not in edge.outcomes


async def test_one_that_leaves_while_it_follows_is_forgotten() -> None:
    edge = Full()
    await edge.ask("first", request_id="a")
    edge.waits(edge.decide("same", request_id="b"), "b")
    leaving = edge.waits(edge.decide("same", request_id="c"), "c")
    edge.end("a")
    (allowed,) = await edge.until("b")
    assert isinstance(allowed, Allowed)
    leaving.cancel()
    edge.pass_on(allowed)
    await asyncio.sleep(0.01)  # an outcome would be there by then
    assert "c" not in edge.outcomes


async def test_what_is_not_to_be_kept_waits_too() -> None:
    edge = Full()
    await edge.ask("first", request_id="a")
    edge.waits(edge.decide("second", request_id="b", control="no-store"), "b")
    edge.waits(edge.decide("third", request_id="c", control="no-cache"), "c")
    edge.end("a")
    (allowed,) = await edge.until("b")
    assert isinstance(allowed, Allowed)
    assert (allowed.headers["x-trunkline-cache"], allowed.copy) == ("bypass", "")
    edge.end("b")
    (allowed,) = await edge.until("c")
    assert isinstance(allowed, Allowed)
    assert (allowed.headers["x-trunkline-cache"], allowed.copy) == ("stored", "c")
