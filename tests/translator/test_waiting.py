"""Requests that wait for a place, as Envoy's module sees them: frames in, frames out."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import orjson
import pytest
import structlog
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.asking import check, end_notice
from tests.translator.checks.test_frames import encoded
from translator.authorise import Authoriser
from translator.checks.frames import FrameKind
from translator.checks.session import CheckSession
from translator.limits import Limiter
from translator.metering import Meter
from translator.metrics.histograms import MAX_SERIES, OTHER
from translator.policy.store import PolicyStore
from translator.service import Service
from translator.waiting import WaitingRoom

#: Long enough for a busy machine, short enough to wait for.
LONGEST_MS = 60_000
PATIENCE = 60


def concurrency(amount: int) -> policy.Limit:
    return policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=amount)


def route(places: int = 1, *, longest_ms: int = LONGEST_MS, size: int = 0, **more: Any) -> policy.Route:
    made = policies.route(**more)
    made.limits.append(concurrency(places))
    made.queue_longest_ms, made.queue_size = longest_ms, size
    return made


class Translator:
    """One session, and its answers by the numbers of their checks."""

    def __init__(self, store: PolicyStore, room: WaitingRoom | None = None) -> None:
        self.store = store
        self.limiter = Limiter(store.limits_by_id)
        self.room = room if room is not None else WaitingRoom()
        self.limiter.on_freed = self.room.freed
        self.store.on_change = self.room.policy_changed
        authoriser = Authoriser(store, Meter(self.limiter), waiting=self.room)
        log = structlog.get_logger()
        service = Service(store, authoriser, log)
        self.session = CheckSession(service, lambda: None, 1_000_000, log, self._written)
        self.answers: dict[int, tuple[int, list[str], bytes]] = {}
        self._answered = asyncio.Event()

    def ask(self, *numbers: int, value: str = policies.VALUE, model: str = "gpt-4.1", user: str = "") -> None:
        body = {"model": model, "messages": [], **({"user": user} if user else {})}
        asked = [check(each, body, value=value, x_request_id=f"id-{each}") for each in numbers]
        self._written(self.session.receive(b"".join(asked)))

    def end(self, number: int) -> None:
        self._written(self.session.receive(end_notice(number, f"id-{number}")))

    def machine_busy(self, number: int, *, turned_away: bool) -> None:
        kind = FrameKind.TURNED_AWAY if turned_away else FrameKind.LET_IN
        self._written(self.session.receive(encoded(number, f"id-{number}".encode(), b"", kind)))

    async def answer(self, number: int) -> tuple[int, list[str], bytes]:
        async with asyncio.timeout(PATIENCE):
            while self.answers.get(number, (102,))[0] == 102:
                self._answered.clear()
                await self._answered.wait()
        return self.answers[number]

    async def error(self, number: int) -> tuple[dict[str, str], dict[str, Any]]:
        """Returns the headers and the error of a refusal."""
        status, head, body = await self.answer(number)
        assert status == 429
        return dict(line.split(": ", 1) for line in head), orjson.loads(body)["error"]

    async def settled(self) -> dict[int, int]:
        """Returns the status of every answer once nothing changes any more."""
        for _ in range(10):
            await asyncio.sleep(0)
        return {number: status for number, (status, *_) in self.answers.items()}

    def ends(self) -> dict[str, float]:
        found = next(each.value for each in self.room.samples() if each.name.endswith("waits_total"))
        assert isinstance(found, dict)
        return {end: count for end, count in found.items() if count}

    def _written(self, data: bytes) -> None:
        while data:
            size, number, status, head = struct.unpack_from("<IQHI", data)
            rest = data[18 : 4 + size]
            self.answers[number] = status, rest[:head].decode().split("\n"), rest[head:]
            data = data[4 + size :]
        self._answered.set()


def translator(*messages: policy.Organisation | policy.Key | policy.Route) -> Translator:
    return Translator(policies.store(policies.organisation(), policies.key(), *messages))


async def test_a_request_waits_until_another_one_ends() -> None:
    one = translator(route())
    one.ask(1, 2)
    assert await one.settled() == {1: 200, 2: 102}
    assert one.answers[2][1] == [f"{LONGEST_MS} org_acme/key_ci"]
    one.end(1)
    assert await one.settled() == {1: 200, 2: 200}
    queued = [line for line in one.answers[2][1] if line.startswith("x-trunkline-queued-ms: ")]
    assert len(queued) == 1
    assert not any(line.startswith("x-trunkline-queued-ms") for line in one.answers[1][1])
    assert one.ends() == {"served": 1}


async def test_while_it_waits_it_holds_nothing() -> None:
    one = translator(route())
    one.ask(1, 2, 3)
    await one.settled()
    assert one.limiter.outstanding == 1


async def test_the_line_of_settlement_frees_a_place_too() -> None:
    one = translator(route())
    one.ask(1, 2)
    await one.settled()
    one.limiter.settle("id-1", 1, 1)
    assert await one.settled() == {1: 200, 2: 200}


async def test_who_leaves_leaves_the_line_and_nobody_waits_behind() -> None:
    one = translator(route())
    one.ask(1, 2, 3)
    await one.settled()
    one.end(2)
    one.end(1)
    assert await one.settled() == {1: 200, 2: 102, 3: 200}
    assert one.ends() == {"served": 1, "left": 1}
    assert one.limiter.reservation("id-2") is None


async def test_a_connection_that_ends_takes_back_all_that_waits() -> None:
    one = translator(route())
    one.ask(1, 2, 3)
    await one.settled()
    one.session.close()
    one.limiter.end("id-1")
    assert await one.settled() == {1: 200, 2: 102, 3: 102}
    assert one.ends() == {"left": 2}
    assert one.limiter.outstanding == 1


async def test_nobody_overtakes() -> None:
    one = translator(route())
    one.ask(1, 2)
    await one.settled()
    # The notice and the next check arrive together: the place is for the waiting request.
    body = {"model": "gpt-4.1", "messages": []}
    data = end_notice(1, "id-1") + check(3, body, x_request_id="id-3")
    one._written(one.session.receive(data))
    assert await one.settled() == {1: 200, 2: 200, 3: 102}


async def test_the_longest_wait_passes() -> None:
    one = translator(route(longest_ms=50))
    one.ask(1, 2, 3)
    headers, error = await one.error(2)
    assert int(headers["retry-after"]) >= 1
    assert error["code"] == "rate_limit_exceeded"
    assert "became free within 1s. This request was number 1 of 2 that wait" in error["message"]
    await one.error(3)
    one.end(1)
    one.ask(4)
    assert (await one.settled())[4] == 200
    assert one.ends() == {"expired": 2}


async def test_a_full_line_refuses_with_the_expected_wait() -> None:
    one = translator(route(size=2))
    one.ask(1, 2, 3, 4)
    headers, error = await one.error(4)
    assert error["message"].startswith(
        "2 requests are already waiting for model 'gpt-4.1', which is the maximum: "
    )
    assert headers["retry-after"] == str(LONGEST_MS // 1000)
    assert await one.settled() == {1: 200, 2: 102, 3: 102, 4: 429}
    one.end(1)
    await one.settled()
    one.ask(5, 6)
    _, error = await one.error(6)
    assert "another one would wait about " in error["message"]


async def test_another_organisation_finds_room_in_a_line_that_one_has_filled() -> None:
    other = policies.key("key_other", value=policies.OTHER_VALUE, org="org_other")
    one = translator(policies.organisation("org_other"), other, route(size=2))
    one.ask(1, 2, 3)
    one.ask(4, value=policies.OTHER_VALUE)
    assert await one.settled() == {1: 200, 2: 102, 3: 429, 4: 102}
    for ended in (1, 2):
        one.end(ended)
        await one.settled()
    assert await one.settled() == {1: 200, 2: 200, 3: 429, 4: 200}


async def test_the_limit_of_a_key_makes_only_its_own_requests_wait() -> None:
    slow = policies.key("key_slow", value=policies.OTHER_VALUE)
    slow.limits.append(concurrency(1))
    one = translator(slow, route(places=2))
    one.ask(1, 2, value=policies.OTHER_VALUE)
    one.ask(3, 4)
    assert await one.settled() == {1: 200, 2: 102, 3: 200, 4: 102}
    one.end(3)
    assert (await one.settled())[4] == 200
    one.end(1)
    assert (await one.settled())[2] == 200


async def test_the_limit_of_an_organisation_is_waited_for_on_all_routes() -> None:
    limited = policies.organisation()
    limited.limits.append(concurrency(1))
    routes = [route(places=9, route_id=f"rt_{name}", model=name) for name in ("a", "b")]
    one = Translator(policies.store(limited, policies.key(), *routes))
    one.ask(1, model="a")
    one.ask(2, model="b")
    one.ask(3, model="a")
    assert await one.settled() == {1: 200, 2: 102, 3: 102}
    one.end(1)
    await one.settled()
    one.end(2)
    assert await one.settled() == {1: 200, 2: 200, 3: 200}


async def test_what_waits_is_decided_by_the_policy_of_its_turn() -> None:
    one = translator(route())
    one.ask(1, 2, 3)
    await one.settled()
    one.store.apply(policies.response(policies.ROUTE, route(places=2)))
    assert await one.settled() == {1: 200, 2: 200, 3: 102}
    one.store.apply(policies.response(policies.KEY, removed=["key_ci"]))
    assert (await one.settled())[3] == 401
    assert one.ends() == {"served": 1, "refused": 1}


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (policies.key("key_2", value=policies.OTHER_VALUE, models=["other"]), 404),
        (policies.key("key_2", value="sk-another-value-of-it"), 401),
        (None, 401),
    ],
)
async def test_who_may_not_ask_any_more_is_refused_wherever_it_waits(
    message: policy.Key | None, status: int
) -> None:
    one = translator(policies.key("key_2", value=policies.OTHER_VALUE), route())
    one.ask(1, 2)
    one.ask(3, 4, value=policies.OTHER_VALUE)
    one.ask(5)
    assert await one.settled() == {1: 200, **dict.fromkeys((2, 3, 4, 5), 102)}
    removed = ["key_2"] if message is None else []
    one.store.apply(policies.response(policies.KEY, *([message] if message else []), removed=removed))
    assert await one.settled() == {1: 200, 2: 102, 3: status, 4: status, 5: 102}
    assert one.ends() == {"refused": 2}
    one.end(1)
    assert (await one.settled())[2] == 200


async def test_a_raised_limit_admits_as_many_as_it_allows() -> None:
    one = translator(route())
    one.ask(1, 2, 3, 4)
    await one.settled()
    one.store.apply(policies.response(policies.ROUTE, route(places=3)))
    assert await one.settled() == {1: 200, 2: 200, 3: 200, 4: 102}


async def test_the_client_of_the_next_request_leaves_as_a_place_becomes_free() -> None:
    one = translator(route())
    one.ask(1, 2, 3)
    await one.settled()
    one._written(one.session.receive(end_notice(1, "id-1") + end_notice(2, "id-2")))
    assert await one.settled() == {1: 200, 2: 102, 3: 200}
    assert one.ends() == {"left": 1, "served": 1}


async def test_a_request_whose_answer_got_lost_waits_for_nobody() -> None:
    one = translator(route())
    one.ask(1, 2)
    await one.settled()
    one.ask(1)
    assert await one.settled() == {1: 200, 2: 102}


async def test_the_limit_of_each_end_user_makes_only_that_one_wait() -> None:
    """Waiting requests proceed in order of arrival. One that leaves, or whose limit is lifted, delays no other."""
    limited = policies.key()
    limited.limits.append(policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=1, each=policy.EACH_USER))
    one = Translator(policies.store(policies.organisation(), limited, route(places=3)))
    one.ask(1, 2, 3, user="ann")
    one.ask(4, 5, user="ben")
    assert await one.settled() == {1: 200, 2: 102, 3: 102, 4: 200, 5: 102}
    one.ask(6, user="eve")
    assert (await one.settled())[6] == 200
    one.end(6)
    one.end(1)
    assert await one.settled() == {1: 200, 2: 200, 3: 102, 4: 200, 5: 102, 6: 200}
    one.ask(7, user="fay")
    one.ask(8, user="gil")
    assert (await one.settled())[8] == 102  # the route is full
    one.end(4)
    assert (await one.settled())[5] == 200
    one.end(7)
    assert (await one.settled())[8] == 200
    assert one.ends() == {"served": 6}
    one.store.apply(policies.response(policies.KEY, policies.key()))
    one.end(8)
    assert (await one.settled())[3] == 200


async def test_many_of_one_end_user_are_not_tried_one_by_one() -> None:
    """When one of them gets no place, the others in the line are known to get none."""
    limited = policies.key()
    limited.limits.append(policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=1, each=policy.EACH_USER))
    one = Translator(policies.store(policies.organisation(), limited, route(places=9, size=200)))
    tried: list[str] = []
    reserve = one.limiter.reserve

    def counted(reservation: Any, limits: Any) -> Any:
        tried.append(reservation.id)
        return reserve(reservation, limits)

    one.limiter.reserve = counted  # type: ignore[method-assign]
    one.ask(*range(1, 101), user="ann")
    await one.settled()
    tried.clear()
    one.end(1)
    assert list((await one.settled()).values()) == [200, 200, *[102] * 98]
    assert tried == ["id-2", "id-3"]


async def test_other_limits_refuse_at_once() -> None:
    full = route()
    full.limits.append(policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=1))
    one = translator(full)
    one.ask(1, 2)
    assert await one.settled() == {1: 200, 2: 429}


@pytest.mark.parametrize("places", [0, 1])
async def test_without_a_queue_or_without_any_place_nobody_waits(places: int) -> None:
    one = translator(route(places=places, longest_ms=0 if places else LONGEST_MS))
    one.ask(1, 2)
    assert await one.settled() == {1: 200 if places else 429, 2: 429}


async def test_priority_and_weight_decide_who_is_next() -> None:
    low = policies.key("key_low", value=policies.OTHER_VALUE)
    low.priority = policy.PRIORITY_LOW
    high = policies.key("key_high", value=policies.VALUE + "h")
    high.priority = policy.PRIORITY_HIGH
    one = translator(low, high, route())
    one.ask(1)
    one.ask(*range(10, 14), value=policies.OTHER_VALUE)
    one.ask(*range(20, 24), value=policies.VALUE + "h")
    running, order = 1, list[int]()
    for _ in range(8):
        one.end(running)
        statuses = await one.settled()
        running = next(each for each, status in statuses.items() if status == 200 and each not in {1, *order})
        order.append(running)
    # The first of each, then as many of the high one as it has, which are fewer than sixteen.
    assert order == [10, 20, 21, 22, 23, 11, 12, 13]


async def test_metrics_tell_of_those_that_wait() -> None:
    one = translator(route())
    assert [each.value for each in one.room.samples()][:2] == [{}, {}]
    one.ask(1, 2, 3)
    await one.settled()
    waiting, expected, _ = one.room.samples()
    assert (waiting.value, expected.value) == ({"gpt-4.1": 2}, {})
    one.end(1)
    await one.settled()
    waiting, expected, _ = one.room.samples()
    assert waiting.value == {"gpt-4.1": 1}
    assert isinstance(expected.value, dict)
    assert expected.value["gpt-4.1"] > 0


async def test_metrics_name_a_bounded_number_of_models() -> None:
    many = MAX_SERIES + 2
    one = translator(*(route(route_id=f"rt_{number}", model=f"m{number}") for number in range(many)))
    for number in range(many):
        one.ask(3 * number, 3 * number + 1, 3 * number + 2, model=f"m{number}")
    await one.settled()
    waiting, _, _ = one.room.samples()
    assert isinstance(waiting.value, dict)
    assert len(waiting.value) == MAX_SERIES + 1
    assert waiting.value["m0"] == 2
    assert waiting.value[OTHER] == 4
