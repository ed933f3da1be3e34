"""The strategies under simulated traffic: they follow changes, and nothing else."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.xds_server.routing.simulation import Behaviour, Script, route, simulate
from xds_server.model import Strategy
from xds_server.prices import TargetPrice

SEEDS = range(3)


def steady(first: float, **more: float) -> Script:
    behaviour = Behaviour(first, **more)
    return lambda _: behaviour


def changing(at: float, before: Behaviour, after: Behaviour) -> Script:
    return lambda now: before if now < at else after


LIST = TargetPrice(input=1_000_000, output=4_000_000)
CACHED = TargetPrice(input=1_000_000, cached_input=100_000, output=1_000_000)
#: By strategy: the prices of two targets; the first target's good and bad behaviour; the second target's constant
#: behaviour. Answers are short, because the speed of an answer is only known at its end.
CASES: dict[Strategy, tuple[Sequence[TargetPrice], Behaviour, Behaviour, Behaviour]] = {
    Strategy.FASTEST: ((), Behaviour(0.2), Behaviour(2.0), Behaviour(0.5)),
    # The first one has the higher list price, but is cheaper while its cache is warm.
    Strategy.CHEAPEST: (
        (CACHED, TargetPrice(input=600_000, output=1_000_000)),
        Behaviour(0.4, token=0.002, cached_share=0.8),
        Behaviour(0.4, token=0.002),
        Behaviour(0.4, token=0.002),
    ),
    # The first one costs half.
    Strategy.BALANCED: (
        (TargetPrice(input=500_000, output=2_000_000), LIST),
        Behaviour(0.6, token=0.002),
        Behaviour(2.0, token=0.002),
        Behaviour(0.4, token=0.002),
    ),
}
EVERY_CASE = pytest.mark.parametrize("strategy", CASES)


@pytest.mark.parametrize("seed", SEEDS)
@EVERY_CASE
def test_a_real_change_is_followed_within_5_seconds(strategy: Strategy, seed: int) -> None:
    prices, good, bad, steadily = CASES[strategy]
    run = simulate(
        route(strategy, ["a", "b"], prices), [changing(60, good, bad), lambda _: steadily], 90, 50, seed
    )
    assert set(run.best[40:60]) == {"a/m"}
    assert run.first_second_of("b/m", 60) <= 5


@pytest.mark.parametrize("seed", SEEDS)
@EVERY_CASE
def test_a_target_that_fails_is_left_within_5_seconds(strategy: Strategy, seed: int) -> None:
    prices, good, _, steadily = CASES[strategy]
    scripts = [changing(60, good, replace(good, failures=1.0)), lambda _: steadily]
    run = simulate(route(strategy, ["a", "b"], prices), scripts, 90, 50, seed)
    assert run.first_second_of("b/m", 60) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rate", [5, 50])
@EVERY_CASE
def test_noise_is_not_followed_for_10_minutes(strategy: Strategy, rate: float, seed: int) -> None:
    """The two targets are equally good; their latencies vary by a fifth and their cache hits by a tenth."""
    phases = [random.Random(seed * 10 + number).random() * math.tau for number in range(2)]

    def wandering(phase: float) -> Script:
        def behaviour(now: float) -> Behaviour:
            wave = math.sin(phase + now / 20)
            return Behaviour(0.4 * (1 + 0.2 * wave), noise=0.6, cached_share=0.5 + 0.05 * wave)

        return behaviour

    prices = [CACHED] * 2
    run = simulate(route(strategy, ["a", "b"], prices), [wandering(each) for each in phases], 600, rate, seed)
    assert run.changes(30) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@EVERY_CASE
def test_what_became_good_again_is_found_within_a_minute(strategy: Strategy, seed: int) -> None:
    prices, good, bad, steadily = CASES[strategy]
    scripts: list[Script] = [lambda now: bad if 60 <= now < 200 else good, lambda _: steadily]
    run = simulate(route(strategy, ["a", "b"], prices), scripts, 300, 20, seed)
    assert set(run.best[80:200]) == {"b/m"}
    assert run.first_second_of("a/m", 200) <= 60


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@EVERY_CASE
def test_a_target_that_was_down_is_found_again_within_a_minute(strategy: Strategy, seed: int) -> None:
    prices, good, _, steadily = CASES[strategy]
    down = replace(good, failures=1.0)
    scripts: list[Script] = [lambda now: down if 60 <= now < 120 else good, lambda _: steadily]
    run = simulate(route(strategy, ["a", "b"], prices), scripts, 240, 20, seed)
    assert run.first_second_of("a/m", 120) <= 60


@pytest.mark.parametrize("strategy", [Strategy.CHEAPEST, Strategy.BALANCED])
def test_a_price_to_come_sorts_anew_at_its_second(strategy: Strategy) -> None:
    cheap, dear = (
        TargetPrice(input=1_000_000, output=1_000_000),
        TargetPrice(input=9_000_000, output=9_000_000, valid_from=60),
    )
    prices: list[TargetPrice | tuple[TargetPrice, ...]] = [
        (cheap, dear),
        TargetPrice(input=2_000_000, output=2_000_000),
    ]
    run = simulate(route(strategy, ["a", "b"], prices), [steady(0.4), steady(0.4)], 70, 20)
    # The ranking after second 58 applies to second 59, and so on.
    assert set(run.best[30:59]) == {"a/m"}
    assert set(run.best[59:]) == {"b/m"}


def test_a_small_share_is_explored_and_nothing_of_what_is_down() -> None:
    scripts = [steady(0.2), steady(0.6), steady(0.2, failures=1.0)]
    run = simulate(route(Strategy.FASTEST, ["a", "b", "c"]), scripts, 60, 50)
    late = run.shares[30:]
    assert {each["b/m"] for each in late} <= {0.01, 0.02}
    assert sum(each["c/m"] == 0 for each in late) > len(late) / 2


def test_cheapest_asks_others_only_where_cache_hits_could_make_them_the_best() -> None:
    """`b` would be cheaper with a warm cache, `c` never."""
    prices = [
        TargetPrice(input=1_000_000, output=0),
        CACHED,
        TargetPrice(input=9_000_000, cached_input=5_000_000, output=0),
    ]
    run = simulate(route(Strategy.CHEAPEST, ["a", "b", "c"], prices), [steady(0.4)] * 3, 60, 50)
    assert run.shares[-1] == {"a/m": 0.98, "b/m": 0.02, "c/m": 0.0}


def test_cheapest_counts_the_cache_hits_that_a_target_gets() -> None:
    """`a` is more expensive by its list price, but cheaper with its cache."""
    prices = [
        TargetPrice(input=2_000_000, cached_input=200_000, output=4_000_000),
        TargetPrice(input=1_500_000, cached_input=1_500_000, output=4_000_000),
    ]
    scripts = [steady(0.4, cached_share=0.8), steady(0.4, cached_share=0.0)]
    run = simulate(route(Strategy.CHEAPEST, ["a", "b"], prices), scripts, 60, 20)
    assert run.best[-1] == "a/m"


@pytest.mark.parametrize(("balance", "best"), [(1, "cheap/m"), (50, "middle/m"), (99, "quick/m")])
def test_balanced_minds_money_and_time(balance: int, best: str) -> None:
    prices = [TargetPrice(input=each, output=4 * each) for each in (500_000, 800_000, 3_000_000)]
    scripts = [steady(2.0, token=0.05), steady(0.4, token=0.01), steady(0.3, token=0.008)]
    of = route(Strategy.BALANCED, ["cheap", "middle", "quick"], prices, balance)
    assert simulate(of, scripts, 60, 30).best[-1] == best
