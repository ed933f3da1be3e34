"""Builds a snapshot of encoded resources from the desired state and the live pools.

Encoding is the expensive part (about a millisecond for a small cluster). Resources of one shape share a template,
and every resource is cached by the values it was built from: a change encodes what changed and joins the rest. A
type without any change keeps its mapping, so that the protocol core has nothing to compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, ParamSpec, TypeVar

from trunkline_proto.policy.v1.policy_pb2 import PoolSlots

from xds_server.accounts.settings import JwtIssuer
from xds_server.model import (
    Cors,
    DefaultModel,
    DesiredState,
    NodesTarget,
    Organisation,
    Provider,
    ProviderTarget,
    Route,
)
from xds_server.pool import Pool
from xds_server.protocol import snapshot as types
from xds_server.protocol.snapshot import Resource, ResourceSnapshot
from xds_server.resources import audiences, cors, names, policy, route_table, slots as pool_slots
from xds_server.resources.edge import edge_resources
from xds_server.resources.listeners import AUTHORISE_TIMEOUT
from xds_server.resources.pool_cluster import encoded_pool_cluster
from xds_server.resources.pools import Assignments
from xds_server.resources.routes import no_route, translator_route
from xds_server.resources.settings import EdgeSettings, GatewayTls, ListenerTls
from xds_server.resources.strategy import Hop
from xds_server.resources.targets import encoded_provider_cluster
from xds_server.resources.variants import RouteVariant, hops, variants
from xds_server.routing.tiers import NO_RANKINGS, Rankings

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
H = TypeVar("H", bound=Hashable)
P = ParamSpec("P")

#: Longer than a request may wait for its authorisation.
LINGER_SECONDS = 1.5 * AUTHORISE_TIMEOUT.total_seconds()


class BuildCache(Generic[K, V]):
    """A cache of what one snapshot was built from, by the values it was built from. What the next snapshot does
    not use is dropped.
    """

    def __init__(self) -> None:
        self._previous: dict[K, V] = {}
        self._current: dict[K, V] = {}

    def get(self, key: K, build: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
        """Returns the cached value for `key`, or `build(*args)`."""
        value = self._current.get(key)
        if value is None:
            value = self._previous.get(key)
            if value is None:
                value = build(*args, **kwargs)
            self._current[key] = value
        return value

    def turn(self) -> None:
        """Begins the next snapshot."""
        self._previous, self._current = self._current, {}


class Builder:
    """Builds snapshots for one edge configuration; one instance per control plane, not thread-safe."""

    def __init__(
        self,
        edge: EdgeSettings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` (seconds) times what lingers; `wall_clock` (Unix seconds) determines which prices are in
        force.
        """
        self._edge = replace(edge, tls=None, listener_tls=None)
        self._wall_clock = wall_clock
        self._resources: BuildCache[Hashable, Resource] = BuildCache()
        self._route_entries: BuildCache[Hashable, bytes] = BuildCache()
        self._pools: Mapping[str, Pool] = {}
        #: The routes whose requests wait for machines, by id, and their last encoding.
        self._waiting: dict[str, _RoutePolicy] = {}
        self._slotted: dict[str, tuple[_RoutePolicy, tuple[PoolSlots, ...], Resource]] = {}
        self._state: DesiredState | None = None
        self._rankings: Rankings = NO_RANKINGS
        self._clock = clock
        self._wanted: Mapping[str, Resource] = {}
        self._lingering: dict[str, tuple[Resource, float]] = {}
        self._last = ResourceSnapshot(revision=0)
        self._key_input = route_table.header_input()
        self._no_match = route_table.on_match_of(no_route())
        self._no_route_entry = route_table.entry(names.ROUTE_ID_PREFIX, no_route())
        self._unchecked = route_table.on_match_of(cors.unchecked_route())
        self._translator_entry = route_table.entry(names.TRANSLATOR_ROUTE, translator_route())
        self._tls = self._next_tls = edge.tls
        self._listener_tls = self._next_listener_tls = edge.listener_tls
        self._present()

    def renew(self, tls: GatewayTls) -> None:
        """Makes the gateway present this certificate from the next build on. Safe to call while a build runs."""
        self._next_tls = tls

    def renew_listeners(self, tls: ListenerTls) -> None:
        """Presents this certificate to clients and operators from the next build on. Safe to call while a build
        runs.

        Whether clients need certificates of their own stays as it was at the start: only contents change.
        """
        self._next_listener_tls = tls

    def _present(self) -> None:
        """Rebuilds what depends on the certificates. Without certificates, no node can be reached directly."""
        self._of_edge = edge_resources(self._edge, self._tls, self._listener_tls)
        self._direct = self._tls is not None
        self._assignments = Assignments(direct=self._direct)

    def build(
        self, revision: int, state: DesiredState, live: Mapping[str, Pool], rankings: Rankings = NO_RANKINGS
    ) -> ResourceSnapshot:
        """Returns the snapshot of `state` with the `live` pools (by name); shares with the last one what did not
        change.

        Which pools exist follows from the state alone (`audiences.pools`); live state fills them. Pools change far
        more often than the state: if state and rankings are unchanged, only assignments are examined.
        """
        built = dict(self._last.resources)
        if self._tls is not self._next_tls or self._listener_tls is not self._next_listener_tls:
            self._tls, self._listener_tls, self._state = self._next_tls, self._next_listener_tls, None
            self._present()
        if state is not self._state or rankings is not self._rankings:
            built.update(self._desired(state, rankings))
            self._wanted = built[types.CLUSTER]
            self._pools = audiences.pools(state)
            self._state, self._rankings = state, rankings
        if self._waiting:
            built[types.POLICY_ROUTE] = self._with_slots(built[types.POLICY_ROUTE], live)
        built[types.CLUSTER] = self._with_lingering(self._wanted)
        built[types.ENDPOINT] = self._with_their_assignments(self._assignments.of(self._pools, live))
        self._last = ResourceSnapshot(
            revision, {url: self._shared(url, mapping) for url, mapping in built.items()}
        )
        return self._last

    def _with_slots(self, routes: Mapping[str, Resource], live: Mapping[str, Pool]) -> Mapping[str, Resource]:
        """Adds the current slots of their machines to the routes whose requests wait for machines."""
        before, self._slotted = self._slotted, {}
        for name, encode in self._waiting.items():
            slots = pool_slots.slots(encode.route, self._pools.values(), live)
            known = before.get(name)
            same = known is not None and known[:2] == (encode, slots)
            self._slotted[name] = known if known is not None and same else (encode, slots, encode(slots))
        return {**routes, **{name: resource for name, (_, _, resource) in self._slotted.items()}}

    @property
    def expires_in(self) -> float | None:
        """Returns the seconds until a build would drop a lingering cluster; None if there is none."""
        ends = [end for _, end in self._lingering.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def _with_lingering(self, wanted: Mapping[str, Resource]) -> Mapping[str, Resource]:
        """Returns `wanted`, and for a while what was wanted before: requests that Envoy has matched to it still
        wait to be authorised, and would be answered with 503.
        """
        now = self._clock()
        before = self._last.of_type(types.CLUSTER)
        if before is not wanted:
            for name in before.keys() - wanted.keys():
                self._lingering.setdefault(name, (before[name], now + LINGER_SECONDS))
        self._lingering = {
            name: (resource, end)
            for name, (resource, end) in self._lingering.items()
            if end > now and name not in wanted
        }
        if not self._lingering:
            return wanted
        return {**wanted, **{name: resource for name, (resource, _) in self._lingering.items()}}

    def _with_their_assignments(self, wanted: Mapping[str, Resource]) -> Mapping[str, Resource]:
        """Adds the last assignments of lingering clusters to `wanted`. Without endpoints they would answer 503,
        and an Envoy that connects meanwhile would wait for them before it accepts anything.
        """
        before = self._last.of_type(types.ENDPOINT)
        kept = {name: before[name] for name in self._lingering if name in before and name not in wanted}
        return {**wanted, **kept} if kept else wanted

    def _desired(self, state: DesiredState, rankings: Rankings) -> dict[str, Mapping[str, Resource]]:
        """Returns everything that depends on the desired state and on measurements."""
        self._resources.turn()
        self._route_entries.turn()
        now = self._wall_clock()
        every_variant = variants(state, now, rankings)
        return {
            types.SECRET: self._of_edge[types.SECRET],
            types.CLUSTER: self._clusters(state, every_variant),
            types.LISTENER: self._of_edge[types.LISTENER],
            types.ROUTE: self._routes(every_variant, state.gateway.cors),
            types.POLICY_ORGANISATION: {
                name: self._resources.get(
                    (each, state.gateway.defaults), _organisation, each, state.gateway.defaults
                )
                for name, each in state.organisations.items()
            },
            types.POLICY_KEY: self._policy(types.POLICY_KEY, state.keys, policy.key),
            types.POLICY_JWT_ISSUER: self._jwt_issuers(state),
            types.POLICY_ROUTE: self._route_policies(state, every_variant, now),
        }

    def _shared(self, type_url: str, mapping: Mapping[str, Resource]) -> Mapping[str, Resource]:
        previous = self._last.of_type(type_url)
        return previous if previous == mapping else mapping

    def _clusters(self, state: DesiredState, every_variant: Iterable[RouteVariant]) -> dict[str, Resource]:
        result = dict(self._of_edge[types.CLUSTER])
        for hop, connect_ms in hops(every_variant).items():
            result[hop.cluster] = self._target(state, hop, connect_ms)
        return result

    def _target(self, state: DesiredState, hop: Hop, connect_ms: int) -> Resource:
        if isinstance(hop.target, NodesTarget):
            key = ("pool", hop.cluster, connect_ms, self._direct)
            return self._resources.get(key, _pool, hop.cluster, connect_ms, direct=self._direct)
        provider = state.providers[hop.target.provider]
        return self._resources.get(
            ("provider", hop.cluster, provider, connect_ms),
            self._provider,
            hop.target,
            provider,
            hop.credential,
            connect_ms,
        )

    def _provider(self, target: ProviderTarget, provider: Provider, credential: int, connect_ms: int) -> Resource:
        body = encoded_provider_cluster(target, provider, credential, connect_ms, self._edge)
        return Resource.of(types.CLUSTER, names.target_cluster(target, credential), body)

    def _routes(self, every_variant: Iterable[RouteVariant], origins: Cors) -> dict[str, Resource]:
        entries = [self._translator_entry]
        entries += [self._entries("model", variant, route_table.model_entries) for variant in every_variant]
        prefixes = [
            self._entries("fallback", variant, route_table.fallback_entry)
            for variant in every_variant
            if not variant.audience and audiences.may_have(variant.route)
        ]
        no_match, fields = self._no_match, cors.virtual_host_fields(origins)
        if fields:
            # A request with a route's key but no route has been checked; other requests have not.
            prefixes.append(self._no_route_entry)
            no_match = self._unchecked
        body = route_table.route_configuration(
            entries, prefixes, key_input=self._key_input, no_match=no_match, virtual_host_fields=fields
        )
        return {names.ROUTE_CONFIGURATION: Resource.of(types.ROUTE, names.ROUTE_CONFIGURATION, body)}

    def _entries(
        self, kind: str, variant: RouteVariant, encode: Callable[[RouteVariant, EdgeSettings], bytes]
    ) -> bytes:
        key = (kind, variant.key, variant.route.timeouts, variant.lines)
        return self._route_entries.get(key, encode, variant, self._edge)

    def _route_policies(
        self, state: DesiredState, every_variant: Iterable[RouteVariant], now: float
    ) -> dict[str, Resource]:
        shared = policy.shared_cache(state.gateway)
        audiences_of: dict[str, tuple[str, ...]] = {}
        routes = {variant.route.id: variant.route for variant in every_variant}
        for variant in every_variant:
            there = audiences_of.get(variant.route.id, ())
            audiences_of[variant.route.id] = (*there, variant.audience) if variant.audience else there
        found = {}
        self._waiting = {}
        for name, route in routes.items():
            there, cache = audiences_of[name], policy.route_cache(route, shared, state.providers)
            if pool_slots.waits_for_machines(route):
                self._waiting[name] = _RoutePolicy(route, now, there, cache)
            found[name] = self._resources.get((route, there, cache), _route_policy, route, now, there, cache)
        return found

    def _jwt_issuers(self, state: DesiredState) -> dict[str, Resource]:
        granted = policy.granted_keys(state)
        found = {}
        for issuer in state.gateway.jwt:
            key_ids = tuple(granted.get((each.organisation, each.key), "") for each in issuer.grants)
            found[issuer.name] = self._resources.get((issuer, key_ids), _jwt_issuer, issuer, key_ids)
        return found

    def _policy(self, type_url: str, values: Mapping[str, H], encode: Callable[[H], bytes]) -> dict[str, Resource]:
        return {
            name: self._resources.get(value, _encoded, type_url, name, value, encode)
            for name, value in values.items()
        }


def _encoded(type_url: str, name: str, value: H, encode: Callable[[H], bytes]) -> Resource:
    return Resource.of(type_url, name, encode(value))


def _organisation(value: Organisation, defaults: tuple[DefaultModel, ...]) -> Resource:
    return Resource.of(types.POLICY_ORGANISATION, value.id, policy.organisation(value, defaults))


def _jwt_issuer(value: JwtIssuer, key_ids: tuple[str, ...]) -> Resource:
    return Resource.of(types.POLICY_JWT_ISSUER, value.name, policy.jwt_issuer(value, key_ids))


def _pool(name: str, connect_ms: int, *, direct: bool) -> Resource:
    return Resource.of(types.CLUSTER, name, encoded_pool_cluster(name, connect_ms, direct=direct))


@dataclass(frozen=True, slots=True)
class _RoutePolicy:
    """Encodes a route with its machines' slots. Everything but the slots changes only with the desired state."""

    route: Route
    at: float
    audiences: tuple[str, ...]
    cache: policy.RouteCache | None

    def __call__(self, slots: Sequence[PoolSlots] = ()) -> Resource:
        body = policy.route(self.route, self.at, self.audiences, self.cache, slots)
        return Resource.of(types.POLICY_ROUTE, self.route.id, body)


def _route_policy(route: Route, at: float, of: tuple[str, ...], cache: policy.RouteCache | None) -> Resource:
    return _RoutePolicy(route, at, of, cache)()
