"""Reserve, settle, expire: which requests are admitted, and which amounts count."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.translator.limits.building import (
    CONCURRENCY,
    COST,
    NOW,
    REQUESTS,
    TOKENS,
    limit,
    limiter,
    reservation,
    reserve,
    taken,
)
from translator.errors import LimitError
from translator.limits import HolderLimit, Limiter, Refused, Remaining

MONTH = "month@Europe/Berlin"
MARCH = 1_774_994_400.0  # 2026-04-01T00:00 in Berlin, the end of March


def test_of_many_at_once_exactly_the_amount_passes() -> None:
    rate = limit(REQUESTS, "60", 100)
    engine = limiter()
    passed = [reserve(engine, str(number), [rate]) is None for number in range(1_000)]
    assert passed == [True] * 100 + [False] * 900


async def test_concurrent_tasks_never_pass_a_budget() -> None:
    budget = limit(COST, MONTH, 1_000)
    engine = limiter()

    async def request(number: int) -> bool:
        await asyncio.sleep(number % 7 / 1_000)  # requests at different times
        admitted = reserve(engine, str(number), [budget], cost=100) is None
        await asyncio.sleep(number % 5 / 1_000)  # of different lengths
        if admitted:
            engine.settle(str(number), 0, 100)
        return admitted

    assert sum(await asyncio.gather(*(request(number) for number in range(200)))) == 10


def test_a_slot_of_a_sliding_window_is_free_again_after_it_and_at_most_a_sixtieth_later() -> None:
    rate = limit(REQUESTS, "60", 1)
    engine = limiter()
    assert reserve(engine, "a", [rate], at=NOW + 0.25) is None
    assert reserve(engine, "b", [rate], at=NOW + 60.25) is not None
    refused = reserve(engine, "b", [rate], at=NOW + 60.9)
    assert refused is not None
    assert refused.renews == NOW + 61
    assert reserve(engine, "b", [rate], at=NOW + 61) is None


def test_a_burst_at_the_edge_of_a_sliding_window_does_not_double_it() -> None:
    rate = limit(REQUESTS, "60", 100)
    engine = limiter()
    passed = 0
    for number in range(200):
        at = NOW + 59 + number / 100
        passed += reserve(engine, str(number), [rate], at=at) is None
    assert passed == 100


@pytest.mark.parametrize("window", ["3600", "day@UTC"])
def test_a_budget_renews_as_a_whole(window: str) -> None:
    budget = limit(TOKENS, window, 10)
    engine = limiter()
    assert reserve(engine, "a", [budget], tokens=10, at=NOW) is None
    refused = reserve(engine, "b", [budget], tokens=1, at=NOW)
    assert refused is not None
    assert refused.renews is not None
    assert reserve(engine, "b", [budget], tokens=1, at=refused.renews - 0.001) is not None
    assert reserve(engine, "b", [budget], tokens=10, at=refused.renews) is None


def test_a_month_in_berlin_ends_at_midnight_there_whatever_the_clocks_do() -> None:
    budget = limit(COST, MONTH, 10)
    engine = limiter()
    assert reserve(engine, "a", [budget], cost=10, at=MARCH - 5 * 86_400) is None  # before summer time
    refused = reserve(engine, "b", [budget], cost=1, at=MARCH - 0.001)
    assert refused == Refused(budget, 1, 10, MARCH)
    assert reserve(engine, "b", [budget], cost=1, at=MARCH) is None


def test_nothing_is_taken_where_one_limit_refuses() -> None:
    tokens, requests, running = limit(TOKENS, "60", 100), limit(REQUESTS, "60", 1), limit(CONCURRENCY, "-", 5)
    limits = [tokens, requests, running]
    engine = limiter()
    assert reserve(engine, "a", limits, tokens=10) is None
    for number in range(20):
        assert reserve(engine, f"b{number}", limits, tokens=10) is not None
    assert (taken(engine, tokens, NOW), taken(engine, requests, NOW)) == (10, 1)
    assert engine.settle("a", 10, 0)
    assert all(reserve(engine, f"c{number}", [running]) is None for number in range(5))
    assert reserve(engine, "d", [running]) is not None


def test_the_limit_that_renews_last_is_named() -> None:
    minute, day, running = limit(REQUESTS, "60", 1), limit(REQUESTS, "86400", 1), limit(CONCURRENCY, "-", 1)
    engine = limiter()
    assert reserve(engine, "a", [running, minute, day]) is None
    for limits in ([running, minute, day], [day, minute, running]):
        refused = reserve(engine, "b", limits)
        assert refused is not None
        assert refused.limit is day
    refused = reserve(engine, "b", [minute, limit(TOKENS, "60", 5)], tokens=6)
    assert refused is not None
    assert (refused.limit.metric, refused.renews) == (TOKENS, None)


def test_a_reservation_larger_than_the_whole_limit_never_passes() -> None:
    refused = reserve(limiter(), "a", [limit(COST, MONTH, 10)], cost=11)
    assert refused is not None
    assert (refused.needed, refused.taken, refused.renews) == (11, 0, None)


def test_settling_gives_back_what_was_not_used_and_takes_what_was_used_beyond() -> None:
    tokens, budget = limit(TOKENS, "60", 100), limit(COST, MONTH, 100)
    engine = limiter()
    assert reserve(engine, "a", [tokens, budget], tokens=100, cost=90) is None
    assert reserve(engine, "b", [tokens], tokens=1) is not None
    assert engine.settle("a", 40, 120)
    assert taken(engine, tokens, NOW) == 40
    refused = reserve(engine, "b", [budget], cost=1)
    assert refused is not None
    assert refused.taken == 120  # the overshoot: what "a" used beyond its own reservation
    assert reserve(engine, "b", [tokens], tokens=60) is None


def test_what_was_used_counts_in_the_window_in_which_it_was_reserved() -> None:
    budget = limit(TOKENS, "3600", 100)
    engine = limiter()
    assert reserve(engine, "a", [budget], tokens=50, at=NOW + 3_599) is None
    assert taken(engine, budget, NOW + 3_600) == 0
    assert engine.settle("a", 100, 0)
    assert taken(engine, budget, NOW + 3_600) == 0


def test_settling_twice_changes_nothing() -> None:
    running, tokens = limit(CONCURRENCY, "-", 1), limit(TOKENS, "60", 100)
    engine = limiter()
    assert reserve(engine, "a", [running, tokens], tokens=5) is None
    assert engine.settle("a", 7, 0)
    assert not engine.settle("a", 99, 0)
    assert not engine.expire("a")
    assert not engine.settle("never seen", 99, 0)
    assert taken(engine, tokens, NOW) == 7
    assert reserve(engine, "b", [running]) is None
    assert reserve(engine, "c", [running]) is not None


def test_expiry_keeps_the_reserved_amounts_and_frees_the_place() -> None:
    running, tokens = limit(CONCURRENCY, "-", 1), limit(TOKENS, "60", 100)
    engine = limiter()
    assert reserve(engine, "a", [running, tokens], tokens=5) is None
    assert engine.expire("a")
    assert not engine.expire("a")
    assert taken(engine, tokens, NOW) == 5
    assert reserve(engine, "b", [running, tokens]) is None
    assert engine.outstanding == 1


def test_the_end_of_a_request_frees_its_place_and_nothing_else() -> None:
    limits = [limit(TOKENS, "60", 100), limit(CONCURRENCY, "-", 1), limit(CONCURRENCY, "-", 1, "key_b")]
    engine = limiter()
    assert reserve(engine, "a", limits, tokens=60) is None
    assert engine.end("a")
    assert taken(engine, limits[0], NOW) == 60
    assert engine.outstanding == 1
    assert reserve(engine, "b", limits, tokens=1) is None
    # Repeated, or for an unknown request, it frees no other request's place.
    assert not engine.end("a")
    assert not engine.end("unknown")
    assert reserve(engine, "c", limits) is not None
    # Neither do the following line and expiry.
    assert engine.settle("a", 10, 0)
    assert not engine.expire("a")
    assert reserve(engine, "c", limits) is not None
    assert taken(engine, limits[0], NOW) == 11


def test_a_request_that_is_asked_about_again_after_its_end_takes_no_place() -> None:
    limits = [limit(CONCURRENCY, "-", 1)]
    engine = limiter()
    assert reserve(engine, "a", limits) is None
    assert engine.end("a")
    assert reserve(engine, "a", limits) is None
    assert reserve(engine, "b", limits) is None


@pytest.mark.parametrize("limits", [[], [limit(TOKENS, "60", 100)]])
def test_where_concurrency_is_not_limited_the_end_changes_nothing(limits: list[HolderLimit]) -> None:
    engine = limiter()
    assert reserve(engine, "a", limits, tokens=60) is None
    before = saved(engine)
    assert not engine.end("a")
    assert saved(engine) == before


def test_a_restart_between_the_end_and_the_line_frees_nothing_twice() -> None:
    limits = [limit(CONCURRENCY, "-", 1), limit(REQUESTS, "60", 3)]
    engine = limiter()
    assert reserve(engine, "a", limits) is None
    with engine.snapshot() as parts:
        first = next(parts)
        assert engine.end("a")
        while_it_ran = json.dumps([first, *parts])
    after = saved(engine)
    for state, ended in ((while_it_ran, False), (after, True)):
        restarted = limiter()
        restarted.restore(json.loads(state))
        assert restarted.end("a") == (not ended)
        assert not restarted.end("a")
        assert reserve(restarted, "b", limits) is None
        assert restarted.settle("a", 0, 0)
        assert reserve(restarted, "c", limits) is not None


def test_a_request_that_is_asked_about_twice_is_reserved_once() -> None:
    tokens = limit(TOKENS, "60", 10)
    engine = limiter()
    assert reserve(engine, "a", [tokens], tokens=10) is None
    assert reserve(engine, "a", [tokens], tokens=10) is None
    assert taken(engine, tokens, NOW) == 10
    held = engine.reservation("a")
    assert held is not None
    assert held.tokens == 10


def test_counters_survive_another_amount_but_not_another_window() -> None:
    engine = limiter()
    assert reserve(engine, "a", [limit(TOKENS, "60", 10)], tokens=10) is None
    assert reserve(engine, "b", [limit(TOKENS, "60", 15)], tokens=6) is not None
    assert reserve(engine, "b", [limit(TOKENS, "60", 15)], tokens=5) is None
    assert reserve(engine, "c", [limit(TOKENS, "60", 5)], tokens=1) is not None
    assert reserve(engine, "c", [limit(TOKENS, "61", 5)], tokens=5) is None


@pytest.mark.parametrize(("age", "counts"), [(0, True), (59.9, True), (60, True), (60.1, False), (4_000, False)])
def test_a_line_whose_reservation_was_lost_counts_when_it_began(age: float, *, counts: bool) -> None:
    tokens = limit(TOKENS, "60", 100)
    limits = [tokens, limit(CONCURRENCY, "-", 1)]
    engine = limiter(limits)
    assert reserve(engine, "other", [tokens], tokens=1) is None
    engine.settle_unknown(reservation("lost", (), at=NOW - age), tokens=9, cost=0)
    assert taken(engine, tokens, NOW) == (10 if counts else 1)
    assert reserve(engine, "a", limits) is None  # no longer in flight


def test_a_lost_line_is_free_again_when_its_window_is_over() -> None:
    tokens = limit(TOKENS, "60", 100)
    engine = limiter([tokens])
    assert reserve(engine, "a", [tokens], tokens=1) is None
    for age in (30, 10, 50, 30):
        engine.settle_unknown(reservation("lost", (), at=NOW - age), tokens=9, cost=0)
    ages = [taken(engine, tokens, NOW + later) for later in (0, 10.9, 11, 30.9, 31, 50.9, 51, 60.9, 61)]
    assert ages == [37, 37, 28, 28, 10, 10, 1, 1, 0]


def test_a_clock_that_is_set_back_frees_nothing_and_blocks_for_no_longer_than_a_window() -> None:
    for window in ("60", "3600"):
        for back in (0.5, 30.0, 59.0, 100.0, 1e8):
            tokens = limit(TOKENS, window, 10)
            engine = limiter()
            assert reserve(engine, "a", [tokens], tokens=10) is None
            assert reserve(engine, "b", [tokens], tokens=1, at=NOW - back) is not None
            later = NOW - back + 2 * int(window) + 2
            assert reserve(engine, "b", [tokens], tokens=1, at=later) is None


def saved(engine: Limiter) -> str:
    """Returns a whole snapshot as JSON."""
    with engine.snapshot() as parts:
        return json.dumps(list(parts))


def test_a_snapshot_is_of_its_moment_whatever_happens_until_it_is_complete() -> None:
    limits = [limit(TOKENS, "60", 10**9), limit(COST, MONTH, 10**9), limit(CONCURRENCY, "-", 10**6)]
    engine = limiter()
    # Counters and reservations of more than one part.
    many = [limit(REQUESTS, "60", 10**6, holder_id=f"key_{number}") for number in range(600)]
    for number, own in enumerate(many):
        assert reserve(engine, f"r{number}", [*limits, own], tokens=10, cost=10) is None
    before = saved(engine)
    with engine.snapshot() as parts:
        taken = [next(parts)]
        assert engine.settle("r0", 1, 1)
        assert engine.settle("r599", 1, 1)
        assert reserve(engine, "new", [*limits, many[5]], tokens=7, at=NOW + 1) is None
        engine.settle_unknown(reservation("lost", ()), tokens=3, cost=3)
        taken += parts
    assert json.dumps(taken) == before
    assert saved(engine) != before


def test_a_restart_knows_everything() -> None:
    limits = [
        limit(REQUESTS, "60", 3),
        limit(TOKENS, "60", 100),
        limit(COST, MONTH, 100),
        limit(CONCURRENCY, "-", 2),
    ]
    engine = limiter()
    assert reserve(engine, "a", limits, tokens=10, cost=10) is None
    assert reserve(engine, "b", limits, tokens=20, cost=20, at=NOW + 2) is None
    assert engine.settle("a", 1, 1)
    restarted = limiter()
    restarted.restore(json.loads(saved(engine)))
    assert saved(restarted) == saved(engine)
    for each in (engine, restarted):
        assert reserve(each, "c", limits, at=NOW + 3) is None
        assert reserve(each, "d", limits, at=NOW + 3) is not None  # in flight
        assert each.settle("b", 50, 50)
        assert not each.settle("a", 50, 50)
        assert taken(each, limits[1], NOW + 3) == 51
        assert reserve(each, "d", limits, at=NOW + 3) is not None  # requests
        assert reserve(each, "d", limits, at=NOW + 61) is None


def test_the_state_of_a_version_that_counted_micro_usd() -> None:
    limits = [limit(COST, "60", 10**6), limit(COST, MONTH, 10**6), limit(TOKENS, "60", 10**6)]

    def after(micro: int) -> Limiter:
        """Returns a limiter with two running requests and one that has ended; a micro-USD has `micro` units."""
        engine = limiter()
        for number in range(3):
            assert reserve(engine, str(number), limits, tokens=5, cost=7 * micro, at=NOW + number) is None
        assert engine.settle("0", 5, 2 * micro)
        return engine

    legacy = [{name: part[name] for name in part if name != "money"} for part in json.loads(saved(after(1)))]
    upgraded = limiter()
    upgraded.restore(legacy)
    assert saved(upgraded) == saved(after(1_000))
    again = limiter()
    again.restore(json.loads(saved(upgraded)))
    assert saved(again) == saved(upgraded)


def test_what_the_journal_tells_is_taken_back_unchecked_and_once() -> None:
    limits = [limit(TOKENS, "60", 10), limit(CONCURRENCY, "-", 1)]
    engine = limiter()
    for name in ("a", "b", "b"):
        engine.replay(reservation(name, limits, tokens=8))
    assert taken(engine, limits[0], NOW) == 16
    assert engine.settle("a", 0, 0)
    assert engine.settle("b", 0, 0)
    assert reserve(engine, "c", limits, tokens=10) is None


def test_a_replay_of_long_ago_takes_a_place_but_no_tokens() -> None:
    limits = [limit(TOKENS, "60", 10), limit(CONCURRENCY, "-", 2)]
    engine = limiter()
    assert reserve(engine, "a", limits, tokens=1) is None
    engine.replay(reservation("b", limits, tokens=8, at=NOW - 100))
    assert taken(engine, limits[0], NOW) == 1
    assert reserve(engine, "c", limits) is not None
    assert engine.expire("b")
    assert reserve(engine, "c", limits) is None


@pytest.mark.parametrize(
    "damaged",
    [
        [[]],
        [{}, "counters"],
        [{"counters": {"nonsense": []}}],
        [{"counters": {"tokens 60 key k ": []}}],
        [{"counters": {"tokens 60 key k ": [1, 2]}}],
        [{"counters": {"tokens month@Moon/Sea key k ": []}}],
        [{"held": [[["a"], []]]}],
        [{"counters": []}],
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(damaged: list[Any]) -> None:
    tokens = limit(TOKENS, "60", 10)
    engine = limiter()
    assert reserve(engine, "a", [tokens], tokens=8) is None
    with pytest.raises(LimitError):
        engine.restore(damaged)
    assert taken(engine, tokens, NOW) == 8
    assert engine.outstanding == 1


def test_a_reservation_with_an_impossible_limit_is_refused_whole() -> None:
    tokens = limit(TOKENS, "60", 10)
    engine = limiter()
    with pytest.raises(LimitError):
        engine.replay(
            replace(reservation("a", [tokens], tokens=1), limits=(tokens.id, "cost_usd year@UTC key k "))
        )
    assert engine.outstanding == 0
    assert taken(engine, tokens, NOW) == 0


def test_idle_holders_are_forgotten_and_nothing_else() -> None:
    engine = limiter()
    kept = limit(TOKENS, "86400", 10, "key_kept")
    running = limit(CONCURRENCY, "-", 1, "key_kept")
    assert reserve(engine, "kept", [kept, running], tokens=10) is None
    for number in range(5_000):
        at = NOW + number
        mine = [limit(REQUESTS, "60", 5, f"key_{number}"), limit(CONCURRENCY, "-", 5, f"key_{number}")]
        assert reserve(engine, str(number), mine, at=at) is None
        assert engine.settle(str(number), 0, 0)
    assert engine.counters < 500
    assert reserve(engine, "x", [kept], tokens=1, at=NOW + 5_000) is not None
    assert reserve(engine, "x", [running], at=NOW + 5_000) is not None


def test_a_counter_is_not_forgotten_by_the_request_that_is_about_to_count_in_it() -> None:
    old, new = limit(TOKENS, "60", 10), [limit(TOKENS, str(seconds), 10) for seconds in range(61, 99)]
    engine = limiter()
    assert reserve(engine, "a", [old], tokens=10) is None
    assert reserve(engine, "b", [old, *new], tokens=10, at=NOW + 1_000) is None
    assert taken(engine, old, NOW + 1_000) == 10


def test_tightest() -> None:
    wide, narrow = limit(REQUESTS, "60", 100), limit(REQUESTS, "86400", 50)
    engine = limiter()
    assert engine.remaining([], NOW) == (None, None)
    requests, tokens = engine.remaining([wide], NOW)
    assert requests is not None
    assert (requests.limit, requests.remaining, tokens) == (100, 100, None)
    assert requests.resets <= NOW
    assert reserve(engine, "a", [wide, narrow]) is None
    requests, _ = engine.remaining([wide, narrow], NOW)
    assert requests == Remaining(50, 49, NOW - NOW % 86_400 + 86_400)
    assert engine.remaining([wide], NOW)[0] == Remaining(100, 99, NOW + 61)
