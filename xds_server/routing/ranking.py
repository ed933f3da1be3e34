"""Turns the scores of a route's targets into their order and shares, with hysteresis and a small explored
share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: The share of a tier's requests that goes to targets other than the best, so that these stay measured.
EXPLORED = 0.02
#: The sum of a tier's weights, unless it has to be larger because many targets are explored.
WHOLE = 1_000
#: The factor by which a challenger must be better, beyond the error of the measurements.
_MARGIN = 1.1
#: The same factor until the best has been the best for HOLD_SECONDS.
_MARGIN_AFTER_A_CHANGE = 1.5
HOLD_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target of one tier. Lower scores are better; None: nothing is known. `error` is relative.

    `weight` is its share among targets that are exactly as good; a target with 0 is only a fallback, or paused.
    `at_best` is the score that it might have if more were known.
    """

    target_id: str
    score: float | None
    error: float = 0.0
    is_failing: bool = False
    is_down: bool = False
    weight: int = 1
    at_best: float = 0.0


@dataclass(frozen=True, slots=True)
class WeightedTarget:
    """A target and its weight in its tier, 0 for a fallback."""

    target_id: str
    weight: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """A tier's targets, best first; `since` (Unix seconds) is when the first became the best."""

    shares: tuple[WeightedTarget, ...]
    since: float


def rank(candidates: Sequence[Candidate], previous: Ranking | None, now: float) -> Ranking | None:
    """Returns the ranking of a tier at `now`, or None while nothing is known of any candidate: then the configured
    weights hold.

    `previous` keeps its best until another one is clearly better. A small share of the requests goes to targets
    that might turn out to be better, and to those that fail, until they serve. A target that is down gets none. If
    all that is known is that some fail, the others share the rest by weight.
    """
    usable = [each for each in candidates if each.weight]
    well = [each for each in usable if not each.is_failing]
    known = [each for each in well if each.score is not None]
    if not known and (not well or len(well) == len(usable)):
        return None
    best = _best(known, previous, now) if known else max(well, key=lambda each: each.weight)
    others = sorted(
        (each for each in candidates if each is not best),
        key=lambda each: (each.is_failing, each.score is None, each.score or 0.0),
    )
    equals = [best, *(each for each in others if each.score == best.score and each in well)]
    asked = [
        each
        for each in others
        if each.weight
        and each not in equals
        and not each.is_down
        and (each.is_failing or each.at_best < (best.score or 0.0))
    ]
    whole = max(WHOLE, round(len(asked) / EXPLORED))
    each_explored = max(1, round(whole * EXPLORED / len(asked))) if asked else 0
    weights = dict.fromkeys((each.target_id for each in asked), each_explored)
    weights |= _divided(whole - each_explored * len(asked), equals)
    shares = tuple(WeightedTarget(each.target_id, weights.get(each.target_id, 0)) for each in (best, *others))
    is_the_same = previous is not None and previous.shares[0].target_id == best.target_id
    return Ranking(shares, previous.since if previous is not None and is_the_same else now)


def _divided(whole: int, equals: Sequence[Candidate]) -> dict[str, int]:
    """Divides `whole` by weight. None gets nothing, which would make it a fallback."""
    weights = sum(each.weight for each in equals)
    return {each.target_id: max(1, whole * each.weight // weights) for each in equals}


def _best(known: Sequence[Candidate], previous: Ranking | None, now: float) -> Candidate:
    challenger = min(known, key=lambda each: each.score or 0.0)
    incumbent = next(
        (each for each in known if previous is not None and each.target_id == previous.shares[0].target_id), None
    )
    if incumbent is None or previous is None or challenger.score is None or incumbent.score is None:
        return challenger
    margin = _MARGIN if now - previous.since >= HOLD_SECONDS else _MARGIN_AFTER_A_CHANGE
    uncertain = 1.0 + (challenger.error**2 + incumbent.error**2) ** 0.5
    return challenger if challenger.score * margin * uncertain < incumbent.score else incumbent
