"""Turns a route's targets into its plan: which targets share the load, and which ones are fallbacks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, lcm

from xds_server.model import Metric, NodesTarget, Privacy, Provider, Quota, Route, Target
from xds_server.pool import pool_name
from xds_server.resources.names import target_cluster
from xds_server.resources.slots import waits_for_machines
from xds_server.routing.tiers import NO_RANKINGS, Rankings, tiers

#: The letters that the module reads (envoy/module/quota.h).
_METRICS = {Metric.REQUESTS: "r", Metric.TOKENS: "t"}
#: Marks machines for which requests wait; it takes the place of a credential, which machines do not have.
_WAITS = "w"


@dataclass(frozen=True, slots=True)
class Hop:
    """One target cluster: the target, and which of its provider's credentials it uses, or whose pool of nodes.

    `mark` stands for that credential in the module's table of resting credentials, which every target with it
    shares. `quota` is what the credential may be used for. `checked`: Envoy's health checks determine whether the
    target lives.
    """

    target: Target
    credential: int = 0
    audience: str = ""
    mark: str = "-"
    quota: tuple[Quota, ...] = ()
    checked: bool = False

    @property
    def cluster(self) -> str:
        """Returns the name of the Envoy cluster that the attempt goes to."""
        if isinstance(self.target, NodesTarget):
            return pool_name(self.target.model, self.audience)
        return target_cluster(self.target, self.credential)


@dataclass(frozen=True, slots=True)
class PlannedHop:
    """A hop's entry in a plan. Lower tiers serve first; `weight` is the hop's share of its tier; one request tries
    it at most `tries` times. Hops of one target have the same `group`: credentials split its share, and of several
    pools the first live one has it. A request keeps trying busy machines for about `waits` seconds.
    """

    hop: Hop
    tier: int
    group: int
    weight: int
    tries: int
    waits: int = 0

    @property
    def line(self) -> str:
        """Returns the entry as the module reads it (envoy/module/plan.h)."""
        hop = self.hop
        kind = "m" if isinstance(hop.target, NodesTarget) else "h" if hop.checked else "t"
        mark = _WAITS if self.waits else hop.mark
        quota = "".join(f";{_METRICS[each.metric]}{each.per_seconds}:{each.amount}" for each in hop.quota)
        return f"{self.tier} {self.group} {self.weight} {self.tries} {kind} {mark}{quota} {hop.cluster}\n"


def plan(
    route: Route,
    providers: Mapping[str, Provider],
    at: float,
    owners: Sequence[str] = (),
    rankings: Rankings = NO_RANKINGS,
) -> tuple[PlannedHop, ...]:
    """Returns every hop of the route in failover order: tier by tier, in a tier as xds_server.routing.tiers orders
    it.

    `owners` are the audiences whose own machines serve first, the closest in front: a key's, then its
    organisation's. `at` (Unix seconds) is when prices are compared. A target of weight 0 serves as a fallback
    only. If no target is allowed the plan is empty: a route with privacy has nothing for those who own nothing.
    """
    private = route.privacy is Privacy.OWN_NODES
    waits = ceil(route.queue_longest_ms / 1_000) if waits_for_machines(route) else 0
    places: list[PlannedHop] = []
    group = 0
    for number, tier in enumerate(tiers(route, at, rankings)):
        hops_of = [(each, _hops_of(each.target, providers, owners, private=private)) for each in tier]
        scale = lcm(*(_sharing(hops) for _, hops in hops_of if hops))
        for each, hops in hops_of:
            for hop in hops:
                tries = 0 if each.target.paused else 2 if isinstance(each.target, NodesTarget) else 1
                places.append(PlannedHop(hop, number, group, each.weight * scale // _sharing(hops), tries, waits))
            group += 1
    if len(places) == 1 and places[0].tries:
        # It has no fallback, so it is tried twice.
        (place,) = places
        return (replace(place, tries=2),)
    return tuple(places)


def _sharing(hops: Sequence[Hop]) -> int:
    """Returns how many of one target's hops split its weight."""
    return 1 if isinstance(hops[0].target, NodesTarget) else len(hops)


def _hops_of(
    target: Target, providers: Mapping[str, Provider], owners: Sequence[str], *, private: bool
) -> list[Hop]:
    """Returns a target's hops: one per credential of its provider, or one per pool of machines."""
    if isinstance(target, NodesTarget):
        return [Hop(target, audience=owner) for owner in (*owners, *(() if private else ("",)))]
    provider = providers[target.provider]
    return [
        Hop(target, index, "", mark(provider, credential), provider.quota_of(index), bool(provider.health_path))
        for index, credential in enumerate(provider.credentials or ("",))
    ]


def mark(provider: Provider, credential: str) -> str:
    """Returns what stands for a credential: it reveals nothing about it, and changes whenever the credential
    does.
    """
    text = f"{provider.name}\n{provider.base_url}\n{credential}"
    return hashlib.blake2b(text.encode(), digest_size=8, person=b"credential").hexdigest()
