"""The strategies that follow measurements: they rank a route's tiers by expected time, by price, or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, assert_never

from xds_server.model import Route, Strategy, Target
from xds_server.prices import price_in_force
from xds_server.routing.measured import Measured, RequestMix
from xds_server.routing.ranking import Candidate, Ranking, rank
from xds_server.routing.scores import EffectivePrice, ExpectedTime, effective_price, expected_time

#: Percent: money and time count alike.
DEFAULT_BALANCE = 50
#: Strategies whose order depends on measurements.
MEASURED = frozenset({Strategy.FASTEST, Strategy.BALANCED, Strategy.CHEAPEST})


class Score(NamedTuple):
    """A score; lower is better. It is in seconds, in USD, or, for both, a ratio to the best. `error` is
    relative.
    """

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class ScoredTarget:
    """A target with the values from which its score was made; the score is None if nothing is known."""

    target: Target
    measured: Measured
    time: ExpectedTime | None
    price: EffectivePrice
    score: Score | None

    def candidate(self, strategy: Strategy) -> Candidate:
        """Returns the target as it is ranked. Requests are spent on measuring a target only if the result could
        make it the best: its price is known except for its cache hits.
        """
        return Candidate(
            self.target.id,
            self.score.value if self.score is not None else None,
            self.score.error if self.score is not None else 0.0,
            self.measured.is_failing,
            self.measured.is_down,
            0 if self.target.paused else self.target.weight,
            self.price.least if strategy is Strategy.CHEAPEST else 0.0,
        )


def score_targets(
    route: Route, targets: Sequence[Target], measured: Mapping[str, Measured], mix: RequestMix, at: float
) -> list[ScoredTarget]:
    """Scores each of a tier's targets by the route's strategy, at the prices in force at `at` (Unix seconds)."""
    found = [measured.get(target.id, Measured()) for target in targets]
    times = [expected_time(each, mix) for each in found]
    prices = [
        effective_price(price_in_force(target.prices, at), each, mix)
        for target, each in zip(targets, found, strict=True)
    ]
    scores = _scores(route, times, prices)
    return [ScoredTarget(*each) for each in zip(targets, found, times, prices, scores, strict=True)]


def ranked(scored: Sequence[ScoredTarget], route: Route, previous: Ranking | None, at: float) -> Ranking | None:
    """Returns the ranking of a tier's targets at `at`; None if the configured weights hold."""
    return rank([each.candidate(route.strategy) for each in scored], previous, at)


def _scores(
    route: Route, times: Sequence[ExpectedTime | None], prices: Sequence[EffectivePrice]
) -> Sequence[Score | None]:
    match route.strategy:
        case Strategy.FASTEST:
            return [Score(each.seconds, each.error) if each is not None else None for each in times]
        case Strategy.CHEAPEST:
            return [Score(each.usd, each.error) for each in prices]
        case Strategy.BALANCED:
            return _balanced(times, prices, route.balance or DEFAULT_BALANCE)
        case Strategy.WEIGHTED | Strategy.PRIORITY | Strategy.OWN_FIRST | Strategy.OWN_ONLY:
            return [None] * len(times)
        case _:
            assert_never(route.strategy)


def _balanced(
    times: Sequence[ExpectedTime | None], prices: Sequence[EffectivePrice], balance: int
) -> Sequence[Score | None]:
    """Scores how much more expensive and slower each target is than the best, by `balance` (percent of time)."""
    fastest = min((each.seconds for each in times if each is not None), default=1.0)
    cheapest = min((price.usd for price in prices if price.usd), default=1.0)
    scores: list[Score | None] = []
    for time, price in zip(times, prices, strict=True):
        if time is None:
            scores.append(None)
            continue
        of_money = (1 - balance / 100) * price.usd / cheapest
        of_time = balance / 100 * time.seconds / fastest
        value = of_money + of_time
        scores.append(Score(value, (of_money * price.error + of_time * time.error) / value))
    return scores
