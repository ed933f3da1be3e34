"""From a route's targets to its plan: which targets share the load, and who stands in for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import assert_never

from xds_server.model import NodesTarget, Privacy, Provider, Route, Strategy, Target, pool_name, price_in_force
from xds_server.resources.names import target_cluster


@dataclass(frozen=True, slots=True)
class Hop:
    """One target cluster: the target, and which of its provider's credentials it uses, or whose pool of nodes."""

    target: Target
    credential: int = 0
    audience: str = ""

    @property
    def cluster(self) -> str:
        if isinstance(self.target, NodesTarget):
            return pool_name(self.target.model, self.audience)
        return target_cluster(self.target, self.credential)


@dataclass(frozen=True, slots=True)
class Place:
    """A hop's place in a plan. Lower tiers serve first; `weight` is its share of its tier; one request tries it at
    most `tries` times. Hops of one target have the same `group`: credentials split its share, and of pools the
    first that lives has it.
    """

    hop: Hop
    tier: int
    group: int
    weight: int
    tries: int

    @property
    def line(self) -> str:
        """As the module reads it (envoy/module/plan.h)."""
        kind = "m" if isinstance(self.hop.target, NodesTarget) else "t"
        return f"{self.tier} {self.group} {self.weight} {self.tries} {kind} {self.hop.cluster}\n"


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


def plan(
    route: Route, providers: Mapping[str, Provider], at: float, owners: Sequence[str] = ()
) -> tuple[Place, ...]:
    """Every hop of the route in failover order: tier by tier, the heaviest target first.

    `owners` are the audiences whose own machines serve first, the closest in front: a key's, its organisation's.
    `at` (Unix seconds) is when prices are compared. A target of weight 0 serves as a fallback only. Without any
    target that is allowed the plan is empty: a route with privacy has nothing for those who own nothing.
    """
    private = route.privacy is Privacy.OWN_NODES
    places: list[Place] = []
    group = 0
    for number, tier in enumerate(tiers(route, at)):
        hops_of = [(target, _hops_of(target, providers, owners, private=private)) for target in tier]
        scale = lcm(*(_sharing(hops) for _, hops in hops_of if hops))
        weights = _weights(tier)
        order = sorted(range(len(tier)), key=lambda index: -tier[index].weight)
        for index in order:
            target, hops = hops_of[index]
            for hop in hops:
                tries = 2 if isinstance(target, NodesTarget) else 1
                places.append(Place(hop, number, group, weights[index] * scale // _sharing(hops), tries))
            group += 1
    if len(places) == 1:
        # Nobody stands in for it: it is asked twice.
        (place,) = places
        return (Place(place.hop, place.tier, place.group, place.weight, 2),)
    return tuple(places)


def _weights(tier: Sequence[Target]) -> list[int]:
    """As stated, or equal where privacy has left only targets without any."""
    return [target.weight for target in tier] if any(target.weight for target in tier) else [1] * len(tier)


def _sharing(hops: Sequence[Hop]) -> int:
    """How many of one target's hops split its weight."""
    return 1 if isinstance(hops[0].target, NodesTarget) else len(hops)


def _hops_of(
    target: Target, providers: Mapping[str, Provider], owners: Sequence[str], *, private: bool
) -> list[Hop]:
    """A target's hops: one per credential of its provider, or one per pool of machines."""
    if isinstance(target, NodesTarget):
        return [Hop(target, audience=owner) for owner in (*owners, *(() if private else ("",)))]
    return [Hop(target, index) for index in range(max(1, len(providers[target.provider].credentials)))]
