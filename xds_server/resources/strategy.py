"""From a route's targets to the chains that serve it: which targets share the load, and who backs up whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

from xds_server.model import NodesTarget, Provider, Route, Strategy, Target, price_in_force
from xds_server.resources.names import target_cluster


@dataclass(frozen=True, slots=True)
class Hop:
    """One target cluster of a chain: the target and which of its provider's credentials it uses."""

    target: Target
    credential: int = 0

    @property
    def cluster(self) -> str:
        return target_cluster(self.target, self.credential)


@dataclass(frozen=True, slots=True)
class Chain:
    """`weight` of a route's requests start at the first hop; the others follow in failover order."""

    weight: int
    hops: tuple[Hop, ...]


def tiers(route: Route, at: float) -> list[list[Target]]:
    """The route's targets in groups, the group that serves first in front; prices are those in force at `at`."""
    groups: dict[tuple[int, ...], list[Target]] = {}
    for index, target in enumerate(route.targets):
        groups.setdefault(_rank(route.strategy, index, target, at), []).append(target)
    return [groups[key] for key in sorted(groups)]


def _rank(strategy: Strategy, index: int, target: Target, at: float) -> tuple[int, ...]:
    """Targets of equal rank share the load; lower ranks serve first."""
    match strategy:
        case Strategy.PRIORITY:
            return (index,)
        case Strategy.CHEAPEST:
            price = price_in_force(target.prices, at)
            return (price.input + price.output if price is not None else 0,)
        case Strategy.OWN_FIRST:
            return (not isinstance(target, NodesTarget), target.tier)
        case _:
            return (target.tier,)


def chains(route: Route, providers: Mapping[str, Provider], at: float) -> list[Chain]:
    """One chain per credential of each first-tier target that has a weight.

    A chain goes through all credentials of its first target, then the rest of its tier (heaviest first), then the
    lower tiers. A target of weight 0 serves as a fallback only. `at` (Unix seconds) is when prices are compared.
    """
    order = [sorted(tier, key=lambda target: -target.weight) for tier in tiers(route, at)]
    every_hop = [hop for tier in order for target in tier for hop in hops_of(target, providers)]
    scale = _scale(order[0], providers)
    result = []
    for target in order[0]:
        own = hops_of(target, providers)
        for start in range(len(own)):
            rotated = own[start:] + own[:start]
            rest = [hop for hop in every_hop if hop.target != target]
            weight = target.weight * scale // len(own)
            if weight:
                result.append(Chain(weight, tuple(rotated + rest)))
    return result


def hops_of(target: Target, providers: Mapping[str, Provider]) -> list[Hop]:
    """A target's hops: one per credential of its provider, one for a pool."""
    if isinstance(target, NodesTarget):
        return [Hop(target)]
    return [Hop(target, index) for index in range(max(1, len(providers[target.provider].credentials)))]


def _scale(tier: list[Target], providers: Mapping[str, Provider]) -> int:
    """The factor that makes every split of a weight over credentials a whole number."""
    return lcm(*(len(hops_of(target, providers)) for target in tier))
