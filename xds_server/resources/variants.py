"""The variants of every route: one for everybody, and one for each audience whose own machines it may use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xds_server.model import DesiredState, Route
from xds_server.resources.audiences import Audiences
from xds_server.resources.names import route_key
from xds_server.resources.strategy import Hop, PlannedHop, plan
from xds_server.routing.tiers import NO_RANKINGS, Rankings


@dataclass(frozen=True, slots=True)
class RouteVariant:
    """A route as `audience` sees it (empty: everybody else). A variant with an empty plan serves nothing."""

    route: Route
    audience: str
    plan: tuple[PlannedHop, ...]

    @property
    def key(self) -> str:
        """The name by which the translator and Envoy's matcher refer to the variant."""
        return route_key(self.route.id, self.audience)

    @property
    def lines(self) -> str:
        """Returns the plan as the module reads it."""
        return "".join(place.line for place in self.plan)


def variants(state: DesiredState, at: float, rankings: Rankings = NO_RANKINGS) -> list[RouteVariant]:
    """Returns the variants of all routes; `at` (Unix seconds) determines which prices are in force."""
    audiences = Audiences.of(state.nodes.values(), state.keys)
    return [
        RouteVariant(route, audience, plan(route, state.providers, at, audiences.owners(audience), rankings))
        for route in state.routes.values()
        for audience in ("", *audiences.of_route(route))
    ]


def hops(every_variant: Iterable[RouteVariant]) -> dict[Hop, int]:
    """Returns every target cluster in use, with the shortest connect limit (ms) that a route wants for it; 0: the
    default.
    """
    result: dict[Hop, int] = {}
    seen: dict[str, Hop] = {}
    for variant in every_variant:
        wanted = variant.route.timeouts.connect_ms
        for hop in (place.hop for place in variant.plan):
            # Weights and prices belong to the route; the cluster is the same.
            first = seen.setdefault(hop.cluster, hop)
            limits = [limit for limit in (result.get(first, 0), wanted) if limit]
            result[first] = min(limits, default=0)
    return result
