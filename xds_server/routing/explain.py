"""Explains which of a route's targets would be chosen now, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xds_server.model import Route, Strategy
from xds_server.reasons import Reason
from xds_server.routing.measured import Measured, Measurements, RequestMix
from xds_server.routing.rankings import measured_targets
from xds_server.routing.slots import RouteTarget, slot_of
from xds_server.routing.strategies import MEASURED, ScoredTarget, score_targets
from xds_server.routing.tiers import Rankings, Weighted, grouped, tiers


@dataclass(frozen=True, slots=True)
class TargetExplanation:
    """The explanation for one target. `share` is its part of the requests that begin in its tier, 0 to 1.
    `credentials` has the measurements of its provider's credentials that were used, by index.
    """

    tier: int
    share: float
    reason: Reason
    scored: ScoredTarget
    credentials: Mapping[int, Measured]


def explain(
    route: Route, measurements: Measurements, rankings: Rankings, at: float
) -> tuple[RequestMix, list[TargetExplanation]]:
    """Returns the route's typical request, and its targets in failover order, as of `at` (Unix seconds)."""
    measured, mix = measured_targets(route, measurements, at)
    found: list[TargetExplanation] = []
    for number, ((tier, targets), weighted) in enumerate(
        zip(grouped(route), tiers(route, at, rankings), strict=True)
    ):
        scored = {each.target.id: each for each in score_targets(route, targets, measured, mix, at)}
        whole = sum(each.weight for each in weighted)
        is_ranked = (route.id, tier) in rankings or route.strategy is Strategy.CHEAPEST
        found += [
            TargetExplanation(
                number,
                each.weight / whole if whole else 0.0,
                _reason(
                    route, scored[each.target.id], weighted, scored[weighted[0].target.id], is_ranked=is_ranked
                ),
                scored[each.target.id],
                measurements.credentials(RouteTarget(route.id, each.target.id), slot_of(at)),
            )
            for each in weighted
        ]
    return mix, found


def _reason(
    route: Route, scored: ScoredTarget, weighted: Sequence[Weighted], best: ScoredTarget, *, is_ranked: bool
) -> Reason:
    if (why := _why_hardly_tried(scored)) is not None:
        return why
    if route.strategy not in MEASURED:
        return Reason.of("target.written")
    if not is_ranked or best.score is None:
        return Reason.of("target.unmeasured")
    if scored is best:
        return Reason.of(_BEST[route.strategy])
    is_asked = any(each.weight for each in weighted if each.target is scored.target)
    code = "target.measuring" if is_asked else "target.standing_in"
    if scored.score is not None and best.score is not None and best.score.value:
        return Reason.of(code, f"{scored.score.value / best.score.value:.2f}")
    return Reason.of(f"{code}_first")


def _why_hardly_tried(scored: ScoredTarget) -> Reason | None:
    """Returns the reason; None for a target that gets the requests that its strategy intends."""
    if scored.target.paused:
        return Reason.of("target.paused")
    if scored.measured.is_down:
        return Reason.of("target.down")
    return Reason.of("target.probed") if scored.measured.is_failing else None


_BEST = {
    Strategy.FASTEST: "target.fastest",
    Strategy.CHEAPEST: "target.cheapest",
    Strategy.BALANCED: "target.balanced",
}
