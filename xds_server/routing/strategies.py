"""The strategies that follow measurements: a route's tiers, ranked by expected time, by price, or by both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from xds_server.model import Route, Strategy, Target, price_in_force
from xds_server.routing.measured import Measured, Mix
from xds_server.routing.ranking import Candidate, Ranking, rank
from xds_server.routing.scores import Expected, effective_price, expected_time

#: Percent: money and time count alike.
DEFAULT_BALANCE = 50
#: Strategies whose order depends on what was measured.
MEASURED = frozenset({Strategy.FASTEST, Strategy.BALANCED, Strategy.CHEAPEST})


@dataclass(frozen=True, slots=True)
class Judged:
    """A target with what its score was made of; `score` is seconds, USD, or, of both, a ratio to the best."""

    target: Target
    measured: Measured
    time: Expected | None
    usd: float
    score: float | None

    @property
    def candidate(self) -> Candidate:
        error = self.time.error if self.time is not None else 0.0
        return Candidate(
            self.target.id,
            self.score,
            error,
            self.measured.is_failing,
            self.measured.is_down,
            0 if self.target.paused else self.target.weight,
        )


def judge(
    route: Route, targets: Sequence[Target], measured: Mapping[str, Measured], mix: Mix, at: float
) -> list[Judged]:
    """Scores each of a tier's targets by the route's strategy, at the prices in force at `at` (Unix seconds)."""
    found = [measured.get(target.id, Measured()) for target in targets]
    times = [expected_time(each, mix) for each in found]
    prices = [
        effective_price(price_in_force(target.prices, at), each, mix)
        for target, each in zip(targets, found, strict=True)
    ]
    scores = _scores(route)(times, prices)
    return [Judged(*each) for each in zip(targets, found, times, prices, scores, strict=True)]


def ranked(judged: Sequence[Judged], route: Route, previous: Ranking | None, at: float) -> Ranking | None:
    """The order of a tier's targets at `at`; None where the weights as written hold."""
    # A price is known without asking: nothing has to be explored to learn it.
    explores = route.strategy is not Strategy.CHEAPEST
    return rank([each.candidate for each in judged], previous, at, explores=explores)


Scores = Callable[[Sequence[Expected | None], Sequence[float]], list[float | None]]


def _scores(route: Route) -> Scores:
    match route.strategy:
        case Strategy.FASTEST:
            return lambda times, _: [each.seconds if each is not None else None for each in times]
        case Strategy.CHEAPEST:
            return lambda _, prices: list(prices)
        case Strategy.BALANCED:
            return lambda times, prices: _balanced(times, prices, route.balance or DEFAULT_BALANCE)
        case Strategy.WEIGHTED | Strategy.PRIORITY | Strategy.OWN_FIRST | Strategy.OWN_ONLY:
            return lambda times, _: [None] * len(times)
        case _:
            assert_never(route.strategy)


def _balanced(times: Sequence[Expected | None], prices: Sequence[float], balance: int) -> list[float | None]:
    """How much dearer and slower than the best of each, by `balance` (percent of time)."""
    fastest = min((each.seconds for each in times if each is not None), default=1.0)
    cheapest = min((price for price in prices if price), default=1.0)
    share = balance / 100
    return [
        None if time is None else (1 - share) * price / cheapest + share * time.seconds / fastest
        for time, price in zip(times, prices, strict=True)
    ]
