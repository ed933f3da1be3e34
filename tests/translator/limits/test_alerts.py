"""Alerts of limits: each share once in a window, at once and after a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from tests.translator.limits.building import CONCURRENCY, COST, NOW, REQUESTS, TOKENS, reservation
from translator.limits import HolderLimit, Limiter, Metric
from translator.limits.alerts import Alert, Alerts

DAY = "86400"


class Watched:
    """A limiter whose clock is `now`, with one limit."""

    def __init__(self, metric: Metric, window: str, amount: int, shares: Sequence[int], **more: object) -> None:
        self.now = NOW
        self.limit = HolderLimit(metric, window, amount, "key", "key_a", "a", "", "", tuple(shares), **more)  # type: ignore[arg-type]
        self.alerted: list[Alert] = []
        self.start()
        self._asked = 0

    def start(self) -> None:
        alerts = Alerts(lambda: self.now)
        alerts.on_alert = self.alerted.append
        self.limiter = Limiter(lambda *_: [self.limit], alerts)

    def ask(self, user: str = "", *, tokens: int = 0, cost: int = 0) -> str:
        self._asked += 1
        name = f"r{self._asked}"
        limits = self.limiter.applied([self.limit], "org", user, "", self.now).limits
        held = reservation(name, limits, at=self.now, tokens=tokens, cost=cost)
        self.limiter.watch(
            limits, self.limiter.reserve(type(held).of([*held.fields[:10], user, *held.fields[11:]]), limits)
        )
        return name

    def shares(self) -> list[int]:
        return [each.share for each in self.alerted]

    def restart(self) -> None:
        with self.limiter.snapshot() as parts:
            state = json.loads(json.dumps(list(parts), default=tuple))
        self.start()
        self.limiter.restore(state)


def test_each_share_is_reported_once_in_a_window() -> None:
    watched = Watched(REQUESTS, DAY, 10, (500, 800, 1000))
    for _ in range(10):
        watched.ask()
    assert watched.shares() == [500, 800, 1000]
    assert [each.taken for each in watched.alerted] == [5, 8, 10]
    watched.ask()  # refused
    assert len(watched.alerted) == 3
    watched.now += 86_400
    for _ in range(5):
        watched.ask()
    assert watched.shares() == [500, 800, 1000, 500]
    assert watched.alerted[0].until == NOW // 86_400 * 86_400 + 86_400


def test_what_was_reserved_too_large_alarms_nobody() -> None:
    watched = Watched(TOKENS, DAY, 1_000, (500,))
    name = watched.ask(tokens=900)
    assert not watched.alerted
    watched.limiter.settle(name, 100, 0)
    assert not watched.alerted
    watched.limiter.settle(watched.ask(tokens=450), 450, 0)
    assert [(each.share, each.taken) for each in watched.alerted] == [(500, 550)]


def test_a_refusal_means_that_all_is_used() -> None:
    watched = Watched(COST, DAY, 1_000, (800, 1000, 2000))
    watched.limiter.settle(watched.ask(cost=790), 0, 790)
    assert not watched.alerted
    watched.ask(cost=300)
    assert [(each.share, each.refused, each.taken) for each in watched.alerted] == [
        (800, True, 790),
        (1000, True, 790),
    ]


def test_a_request_that_never_fits_says_nothing_of_what_is_used() -> None:
    watched = Watched(TOKENS, DAY, 10, (1000,))
    watched.ask(tokens=11)
    assert not watched.alerted


def test_a_soft_limit_goes_on() -> None:
    watched = Watched(REQUESTS, DAY, 2, (1000, 2000), soft=True)
    for _ in range(5):
        watched.ask()
    assert watched.shares() == [1000, 2000]
    assert {each.refused for each in watched.alerted} == {False}


def test_every_end_user_has_alerts_of_their_own() -> None:
    watched = Watched(TOKENS, DAY, 100, (800,))
    watched.limit = replace(watched.limit, each="user")
    for user in ("alice", "bob", "alice"):
        watched.limiter.settle(watched.ask(user, tokens=45), 45, 0)
    assert [(each.value, each.taken) for each in watched.alerted] == [("alice", 90)]


def test_a_restart_neither_repeats_nor_forgets() -> None:
    watched = Watched(TOKENS, DAY, 100, (500, 800))
    watched.limiter.settle(watched.ask(tokens=60), 60, 0)
    running = watched.ask(tokens=30)
    watched.restart()
    assert [each.share for each in watched.limiter.alerts.pending] == [500]
    watched.limiter.settle(running, 30, 0)
    assert watched.shares() == [500, 800]
    watched.limiter.alerts.taken(watched.limiter.alerts.pending)
    watched.restart()
    watched.limiter.settle(watched.ask(tokens=1), 1, 0)
    assert watched.shares() == [500, 800]
    assert not watched.limiter.alerts.pending


def test_a_sliding_window_tells_again_when_its_length_has_passed() -> None:
    watched = Watched(REQUESTS, "60", 2, (500,))
    watched.ask()
    watched.now += 59
    watched.ask()
    assert watched.shares() == [500]
    watched.now += 2
    watched.ask()
    assert watched.shares() == [500, 500]


def test_concurrent_requests_tell_once_an_hour() -> None:
    watched = Watched(CONCURRENCY, "-", 2, (1000,))
    for _ in range(3):
        first, second = watched.ask(), watched.ask()
        watched.limiter.end(first)
        watched.limiter.end(second)
        watched.now += 1_900
    assert watched.shares() == [1000, 1000]


def test_another_amount_is_another_limit() -> None:
    watched = Watched(REQUESTS, DAY, 2, (500,))
    watched.ask()
    watched.limit = replace(watched.limit, amount=10)
    for _ in range(4):
        watched.ask()
    assert [(each.amount, each.taken) for each in watched.alerted] == [(2, 1), (10, 5)]


def test_nobody_who_takes_them_makes_them_many() -> None:
    watched = Watched(REQUESTS, DAY, 1, (1000,))
    watched.limit = replace(watched.limit, each="user")
    for number in range(1_005):
        watched.ask(f"user{number}")
    assert len(watched.limiter.alerts.pending) == 1_000
    assert watched.limiter.alerts.dropped == 5
