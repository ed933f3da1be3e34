"""Computes the rankings of the routes whose strategy follows measurements."""

from __future__ import annotations

from collections.abc import Iterable

from xds_server.model import Route
from xds_server.routing.measured import Measured, Measurements, RequestMix
from xds_server.routing.ranking import Ranking
from xds_server.routing.slots import RouteTarget, slot_of
from xds_server.routing.strategies import ranked, score_targets
from xds_server.routing.tiers import Rankings, grouped


def rankings(routes: Iterable[Route], measurements: Measurements, previous: Rankings, at: float) -> Rankings:
    """Ranks the targets of `routes`, whose strategy is one of MEASURED, at `at` (Unix seconds)."""
    found: dict[tuple[str, int], Ranking] = {}
    for route in routes:
        measured, mix = measured_targets(route, measurements, at)
        for tier, targets in grouped(route):
            before = previous.get((route.id, tier))
            ranking = ranked(score_targets(route, targets, measured, mix, at), route, before, at)
            if ranking is not None:
                found[route.id, tier] = ranking
    return found


def measured_targets(
    route: Route, measurements: Measurements, at: float
) -> tuple[dict[str, Measured], RequestMix]:
    """Returns the measurements of a route's targets at `at`, by id, and the route's typical request."""
    now = slot_of(at)
    ids = [target.id for target in route.targets]
    measured = {each: measurements.of(RouteTarget(route.id, each), now) for each in ids}
    return measured, measurements.mix(route.id, ids, now)
