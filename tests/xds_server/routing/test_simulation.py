"""The strategies under simulated traffic: they follow what changes, and only that."""

from __future__ import annotations

import math
import random

import pytest

from tests.xds_server.routing.simulation import Behaviour, Script, route, simulate
from xds_server.model import Price, Strategy

SEEDS = range(3)


def steady(first: float, **more: float) -> Script:
    behaviour = Behaviour(first, **more)
    return lambda _: behaviour


def changing(at: float, before: Behaviour, after: Behaviour) -> Script:
    return lambda now: before if now < at else after


@pytest.mark.parametrize("seed", SEEDS)
def test_fastest_follows_a_change_within_5_seconds(seed: int) -> None:
    quick, slow = Behaviour(0.2), Behaviour(2.0)
    scripts = [changing(60, quick, slow), steady(0.5)]
    run = simulate(route(Strategy.FASTEST, ["a", "b"]), scripts, 90, 50, seed)
    assert set(run.best[20:60]) == {"a/m"}
    assert run.first_second_of("b/m", 60) <= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_that_fails_is_left_within_5_seconds(seed: int) -> None:
    scripts = [changing(60, Behaviour(0.2), Behaviour(0.2, failures=1.0)), steady(0.5)]
    run = simulate(route(Strategy.FASTEST, ["a", "b"]), scripts, 90, 50, seed)
    assert run.first_second_of("b/m", 60) <= 5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("strategy", [Strategy.FASTEST, Strategy.BALANCED])
@pytest.mark.parametrize("rate", [5, 50])
def test_noise_is_not_followed_for_10_minutes(strategy: Strategy, rate: float, seed: int) -> None:
    """Two targets that are equally good, with latencies that wander by a fifth."""
    phases = [random.Random(seed * 10 + number).random() * math.tau for number in range(2)]

    def wandering(phase: float) -> Script:
        return lambda now: Behaviour(0.4 * (1 + 0.2 * math.sin(phase + now / 20)), noise=0.6)

    prices = [Price(input=1_000_000, output=4_000_000)] * 2
    run = simulate(route(strategy, ["a", "b"], prices), [wandering(each) for each in phases], 600, rate, seed)
    assert run.changes(30) <= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_what_became_good_again_is_found_within_a_minute(seed: int) -> None:
    def recovering(now: float) -> Behaviour:
        return Behaviour(3.0) if 60 <= now < 200 else Behaviour(0.2)

    run = simulate(route(Strategy.FASTEST, ["a", "b"]), [recovering, steady(0.6)], 300, 20, seed)
    assert set(run.best[75:200]) == {"b/m"}
    assert run.first_second_of("a/m", 200) <= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_that_was_down_is_found_again_within_a_minute(seed: int) -> None:
    def recovering(now: float) -> Behaviour:
        return Behaviour(0.2, failures=1.0) if 60 <= now < 120 else Behaviour(0.2)

    run = simulate(route(Strategy.FASTEST, ["a", "b"]), [recovering, steady(0.6)], 240, 20, seed)
    assert run.first_second_of("a/m", 120) <= 60


def test_a_small_share_is_explored_and_nothing_of_what_is_down() -> None:
    scripts = [steady(0.2), steady(0.6), steady(0.2, failures=1.0)]
    run = simulate(route(Strategy.FASTEST, ["a", "b", "c"]), scripts, 60, 50)
    late = run.shares[30:]
    assert {each["b/m"] for each in late} <= {0.01, 0.02}
    assert sum(each["c/m"] == 0 for each in late) > len(late) / 2


def test_cheapest_counts_the_cache_hits_that_a_target_gets() -> None:
    """`a` is dearer by its list and cheaper with its cache."""
    prices = [
        Price(input=2_000_000, cached_input=200_000, output=4_000_000),
        Price(input=1_500_000, cached_input=1_500_000, output=4_000_000),
    ]
    scripts = [steady(0.4, cached_share=0.8), steady(0.4, cached_share=0.0)]
    run = simulate(route(Strategy.CHEAPEST, ["a", "b"], prices), scripts, 60, 20)
    assert run.best[-1] == "a/m"


@pytest.mark.parametrize(("balance", "best"), [(1, "cheap/m"), (50, "middle/m"), (99, "quick/m")])
def test_balanced_minds_money_and_time(balance: int, best: str) -> None:
    prices = [Price(input=each, output=4 * each) for each in (500_000, 800_000, 3_000_000)]
    scripts = [steady(2.0, token=0.05), steady(0.4, token=0.01), steady(0.3, token=0.008)]
    of = route(Strategy.BALANCED, ["cheap", "middle", "quick"], prices, balance)
    assert simulate(of, scripts, 60, 30).best[-1] == best
