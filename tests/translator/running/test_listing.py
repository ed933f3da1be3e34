"""The requests at one gateway as an operator sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from trunkline_proto.admin.v1 import requests_pb2 as admin
from trunkline_proto.requests.v1 import requests_pb2 as pb

from tests.translator.ledger.writing import noted
from translator.limits import Reservation
from translator.queueing import Flow, Forecast
from translator.running.listing import Listings
from translator.running.progress import Progress
from translator.waiting import About

NOW = 1_700_000_100.0
QUEUED, RUNNING = admin.REQUEST_STATE_QUEUED, admin.REQUEST_STATE_RUNNING


def reservation(id_: str, at: float = NOW - 3, **more: Any) -> Reservation:
    given = {"key": "key1", "model": "gpt", "stream": True, "user": "u%201", "tag": "run", **more}
    return Reservation(
        id_, at, "org_a", given["key"], "rt_a", given["model"], 1_100, 600, 100, given["stream"], given["user"],
        given["tag"],
    )  # fmt: skip


class Quotas:
    async def report(self) -> pb.Standing:
        return pb.Standing(told=[pb.ToldQuota(host=1)])

    async def take(self, sharing: pb.Sharing) -> pb.Standing:
        return pb.Standing(told=[pb.ToldQuota(host=sharing.gateways)])


class Gateway:
    """The known requests; `envoy` is Envoy's report, None if it is silent."""

    def __init__(self, *reservation: Reservation, envoy: Sequence[Progress] | None = None) -> None:
        self.reservations = list(reservation)
        self.envoy = envoy
        self.waiting: list[tuple[str, float, Forecast]] = []
        self.cancelled: list[str] = []
        self.listings = Listings("edge", self, self, self, Quotas(), clock=lambda: NOW)

    def reservation(self, request_id: str) -> Reservation | None:
        return next((each for each in self.reservations if each.id == request_id), None)

    async def report(self) -> Sequence[Progress] | None:
        return self.envoy

    def positions(self) -> Iterator[tuple[Any, float, Forecast]]:
        for id_, seconds, forecast in self.waiting:
            waiter = SimpleNamespace(
                about=About(id_, False, "u%201", "run"),
                flow=Flow("org_a", 1, "key1", 4),
                route=SimpleNamespace(model="gpt"),
            )
            yield waiter, seconds, forecast

    def cancel(self, request_id: str) -> Any:
        self.cancelled.append(request_id)
        if any(request_id == id_ for id_, *_ in self.waiting):
            return True
        return self._cancel(request_id)

    async def _cancel(self, request_id: str) -> Progress | None:
        return next((each for each in self.envoy or () if each.request_id == request_id), None)

    async def list(self, **wanted: Any) -> pb.AttendRequest:
        listing = pb.Listing(**{"limit": 10, **wanted})
        return await self.listings.answer(pb.AttendResponse(number=7, list=listing))


def running(reservation: Reservation, attempts: int = 1, events: int = 0, target: str = "a/gpt") -> Progress:
    return Progress(attempts, events, 9 * events, target, noted(reservation, "gpt"))


async def test_everything_about_one() -> None:
    held = reservation("one")
    answer = await Gateway(held, envoy=[running(held, 2, 17)]).list()
    assert answer == pb.AttendRequest(
        number=7,
        running=1,
        requests=[
            admin.RunningRequest(
                id="one", state=RUNNING, organisation="org_a", key_id="key1", model="gpt", stream=True,
                end_user="u 1", tag="run", started_at_us=round((NOW - 3) * 1e6), elapsed_us=3_000_000,
                target_id="a/gpt", attempt=2, events=17, event_bytes=153, reserved_prompt_tokens=100,
                reserved_completion_tokens=1_000, reserved_cost_nano_usd=600, translator="edge",
            )
        ],
    )  # fmt: skip


async def test_only_what_envoy_has_runs() -> None:
    """A request that just ended is reserved until its line is read; a long stream outlasts its reservation."""
    ended, runs, long = reservation("ended"), reservation("runs"), reservation("long", NOW - 9_000)
    found = await Gateway(
        ended, runs, envoy=[running(long), running(runs), Progress(0, 0, 0, "", "nonsense")]
    ).list()
    assert [each.id for each in found.requests] == ["long", "runs"]


async def test_where_envoy_is_silent_what_was_let_through_is_listed() -> None:
    found = await Gateway(reservation("one"), envoy=None).list()
    assert [(each.id, each.target_id, each.attempt) for each in found.requests] == [("one", "", 0)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["one", "two", "w1", "w2"]),
        ({"state": RUNNING}, ["one", "two"]),
        ({"state": QUEUED}, ["w1", "w2"]),
        ({"limit": 1}, ["one", "w1"]),
        ({"id_prefix": "w"}, ["w1", "w2"]),
        ({"filter": {"organisation": "org_a", "tag": "run", "end_user": "u 1"}}, ["one", "w1", "w2"]),
        ({"filter": {"organisation": "org_b"}}, []),
        ({"filter": {"key_id": "key2"}}, ["two"]),
        ({"filter": {"model": "llama"}}, ["two"]),
        ({"filter": {"target_id": "a/gpt"}}, ["one"]),
        ({"filter": {"end_user": "else"}}, ["two"]),
        ({"filter": {"tag": ""}}, ["one", "two", "w1", "w2"]),
        ({"within": {"organisation_ids": ["org_b"], "key_ids": ["key2"]}}, ["two"]),
        ({"within": {"organisation_ids": ["org_a"]}}, ["one", "two", "w1", "w2"]),
        ({"within": {}}, []),
    ],
)
async def test_filters(wanted: dict[str, Any], found: list[str]) -> None:
    one, two = reservation("one"), reservation("two", key="key2", model="llama", user="else", tag="")
    gateway = Gateway(one, two, envoy=[running(one), running(two, target="b/x")])
    gateway.waiting = [("w2", 1.0, Forecast(2, 4.5)), ("w1", 2.0, Forecast(1, None))]
    answer = await gateway.list(**wanted)
    assert [each.id for each in answer.requests] == found
    assert answer.is_within == ("within" in wanted)
    if "limit" in wanted:
        assert (answer.running, answer.queued) == (2, 2)


async def test_the_oldest_of_several_envoys_are_listed() -> None:
    ages = {"a": 5, "b": 1, "c": 9, "d": 3}
    held = [reservation(name, NOW - age) for name, age in ages.items()]
    answer = await Gateway(*held, envoy=[running(each) for each in held]).list(limit=2)
    assert ([each.id for each in answer.requests], answer.running) == (["c", "a"], 4)


async def test_those_that_wait_have_a_position() -> None:
    gateway = Gateway(envoy=[])
    gateway.waiting = [("w2", 1.0, Forecast(2, 4.5)), ("w1", 2.0, Forecast(1, None))]
    first, second = (await gateway.list()).requests
    assert (first.position, first.expected_wait_us, first.elapsed_us) == (1, 0, 2_000_000)
    assert (second.position, second.expected_wait_us, second.started_at_us) == (
        2,
        4_500_000,
        round((NOW - 1) * 1e6),
    )
    assert (second.organisation, second.key_id, second.end_user, second.tag) == ("org_a", "key1", "u 1", "run")


async def test_one_is_cancelled_wherever_it_is() -> None:
    held = reservation("one")
    gateway = Gateway(held, envoy=[running(held)])
    gateway.waiting = [("w1", 2.0, Forecast(1, None))]
    for id_, state in (("w1", QUEUED), ("one", RUNNING)):
        (found,) = (await gateway.listings.answer(pb.AttendResponse(number=1, cancel=id_))).requests
        assert (found.id, found.state) == (id_, state)
    assert not (await gateway.listings.answer(pb.AttendResponse(number=1, cancel="absent"))).requests
    assert gateway.cancelled == ["w1", "one", "absent"]
