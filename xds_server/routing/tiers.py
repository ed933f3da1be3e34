"""Groups a route's targets into tiers: which targets share the load, and in which order the others are
fallbacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, assert_never

from xds_server.model import NodesTarget, Privacy, Route, Strategy, Target
from xds_server.routing.measured import RequestMix
from xds_server.routing.ranking import Ranking
from xds_server.routing.strategies import ranked, score_targets

#: Rankings by route id and tier; a tier without one goes by its configured weights, or by its list prices.
Rankings: TypeAlias = Mapping[tuple[str, int], Ranking]
NO_RANKINGS: Rankings = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Weighted:
    """A target and its weight in its tier."""

    target: Target
    weight: int


def grouped(route: Route) -> list[tuple[int, list[Target]]]:
    """Returns the route's targets by tier, the tier that serves first in front; with privacy, only own nodes."""
    groups: dict[int, list[Target]] = {}
    for index, target in enumerate(route.targets):
        if _admits(route, target):
            groups.setdefault(_tier(route.strategy, index, target), []).append(target)
    return sorted(groups.items())


def tiers(route: Route, at: float, rankings: Rankings = NO_RANKINGS) -> list[list[Weighted]]:
    """Returns the route's targets with their weights, tier by tier, each tier in failover order.

    Without a ranking, prices in force at `at` (Unix seconds) decide if the strategy goes by them.
    """
    found: list[list[Weighted]] = []
    for tier, targets in grouped(route):
        ranking = rankings.get((route.id, tier)) or ranked(
            score_targets(route, targets, {}, RequestMix(), at), route, None, at
        )
        found.append(_as_written(targets) if ranking is None else _as_ranked(targets, ranking))
    return found


def _as_written(targets: Sequence[Target]) -> list[Weighted]:
    """Orders targets by weight. If privacy leaves only targets without weights, they share equally."""
    has_weight = any(target.weight for target in targets)
    weighted = [Weighted(target, target.weight if has_weight else 1) for target in targets]
    return sorted(weighted, key=lambda each: -each.weight)


def _as_ranked(targets: Sequence[Target], ranking: Ranking) -> list[Weighted]:
    """Orders targets as ranked. Targets that the ranking does not have yet are fallbacks, at the end."""
    left = {target.id: target for target in targets}
    found = [
        Weighted(left.pop(share.target_id), share.weight) for share in ranking.shares if share.target_id in left
    ]
    if not any(each.weight for each in found):
        return _as_written(targets)
    return [*found, *(Weighted(target, 0) for target in left.values())]


def _admits(route: Route, target: Target) -> bool:
    match route.privacy:
        case Privacy.ANY:
            return route.strategy is not Strategy.OWN_ONLY or isinstance(target, NodesTarget)
        case Privacy.OWN_NODES:
            return isinstance(target, NodesTarget)
        case _:
            assert_never(route.privacy)


def _tier(strategy: Strategy, index: int, target: Target) -> int:
    """Returns the tier of a target; lower tiers serve first."""
    match strategy:
        case Strategy.PRIORITY:
            return index
        case Strategy.CHEAPEST:
            return 0
        case Strategy.OWN_FIRST:
            return target.tier + (0 if isinstance(target, NodesTarget) else _AFTER_OWN)
        case Strategy.WEIGHTED | Strategy.FASTEST | Strategy.BALANCED | Strategy.OWN_ONLY:
            return target.tier
        case _:
            assert_never(strategy)


#: Above all tiers that can be configured.
_AFTER_OWN = 1_000
