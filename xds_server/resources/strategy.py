"""From a route's targets to the chains that serve it: which targets share the load, and who backs up whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import assert_never

from xds_server.model import NodesTarget, Privacy, Provider, Route, Strategy, Target, pool_name, price_in_force
from xds_server.resources.names import target_cluster


@dataclass(frozen=True, slots=True)
class Hop:
    """One target cluster of a chain: the target, and which of its provider's credentials it uses, or whose pool.

    `private`: only what the audience owns.
    """

    target: Target
    credential: int = 0
    audience: str = ""
    private: bool = False

    @property
    def cluster(self) -> str:
        if isinstance(self.target, NodesTarget):
            return pool_name(self.target.model, self.audience, private=self.private)
        return target_cluster(self.target, self.credential)

    @property
    def attempts(self) -> int:
        """How often it is worth trying: own nodes may be gone, the organisation's too, and others be there."""
        if isinstance(self.target, NodesTarget):
            return 3 if self.audience else 2
        return 1


@dataclass(frozen=True, slots=True)
class Chain:
    """`weight` of a route's requests start at the first hop; the others follow in failover order."""

    weight: int
    hops: tuple[Hop, ...]


def tiers(route: Route, at: float) -> list[list[Target]]:
    """The route's targets in groups, the group that serves first in front; prices are those in force at `at`.

    A route with privacy has no targets but own nodes.
    """
    groups: dict[tuple[int, ...], list[Target]] = {}
    for index, target in enumerate(route.targets):
        if _admits(route.privacy, target):
            groups.setdefault(_rank(route.strategy, index, target, at), []).append(target)
    return [groups[key] for key in sorted(groups)]


def _admits(privacy: Privacy, target: Target) -> bool:
    match privacy:
        case Privacy.ANY:
            return True
        case Privacy.OWN_NODES:
            return isinstance(target, NodesTarget)
        case _:
            assert_never(privacy)


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
        case Strategy.WEIGHTED | Strategy.FASTEST:
            return (target.tier,)
        case _:
            assert_never(strategy)


def chains(route: Route, providers: Mapping[str, Provider], at: float, audience: str = "") -> list[Chain]:
    """One chain per credential of each first-tier target that has a weight.

    A chain goes through all credentials of its first target, then the rest of its tier (heaviest first), then the
    lower tiers. A target of weight 0 serves as a fallback only. `at` (Unix seconds) is when prices are compared.
    Without any target that is allowed there is no chain: a route with privacy has nothing for who owns nothing.
    """
    private = route.privacy is Privacy.OWN_NODES
    if private and not audience:
        return []

    def hops(target: Target) -> list[Hop]:
        return _hops_of(target, providers, audience, private=private)

    order = [sorted(tier, key=lambda target: -target.weight) for tier in tiers(route, at)]
    every_hop = [hop for tier in order for target in tier for hop in hops(target)]
    first = order[0] if order else []
    weights = _weights(first)
    scale = lcm(*(len(hops(target)) for target in first))
    result = []
    for target, share in zip(first, weights, strict=True):
        own = hops(target)
        for start in range(len(own)):
            rotated = own[start:] + own[:start]
            rest = [hop for hop in every_hop if hop.target != target]
            weight = share * scale // len(own)
            if weight:
                result.append(Chain(weight, tuple(rotated + rest)))
    return result


def _weights(tier: Sequence[Target]) -> list[int]:
    """As stated, or equal where privacy has left only targets without any."""
    return [target.weight for target in tier] if any(target.weight for target in tier) else [1] * len(tier)


def _hops_of(target: Target, providers: Mapping[str, Provider], audience: str, *, private: bool) -> list[Hop]:
    """A target's hops: one per credential of its provider, one for a pool."""
    if isinstance(target, NodesTarget):
        return [Hop(target, audience=audience, private=private)]
    return [Hop(target, index) for index in range(max(1, len(providers[target.provider].credentials)))]
