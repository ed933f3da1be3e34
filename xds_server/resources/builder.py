"""From the desired state and the live pools to a snapshot of encoded resources.

Encoding is what costs (about a millisecond for a small cluster). Resources of one shape share a template, and
every resource is kept by the values it was built from: a change encodes what changed and joins the rest. A type
without any change keeps its mapping, which tells the protocol core that there is nothing to compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import Generic, ParamSpec, TypeVar

from xds_server.model import NodesTarget, Pool, Provider, ProviderTarget, Route, State
from xds_server.protocol import snapshot as types
from xds_server.protocol.snapshot import Resource, Snapshot
from xds_server.resources import listeners, names, policy, route_table
from xds_server.resources.chain import encoded_chain
from xds_server.resources.pools import Assignments
from xds_server.resources.routes import no_route, translator_route
from xds_server.resources.settings import EdgeSettings, GatewayTls
from xds_server.resources.strategy import Chain, Hop, chains
from xds_server.resources.targets import encoded_pool_cluster, encoded_provider_cluster

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
H = TypeVar("H", bound=Hashable)
P = ParamSpec("P")

#: Longer than a request may wait for its authorisation.
LINGER_SECONDS = 1.5 * listeners.AUTHORISE_TIMEOUT.total_seconds()


class Generation(Generic[K, V]):
    """What one snapshot was built of, by the values it was built from; what the next does not use is dropped."""

    def __init__(self) -> None:
        self._previous: dict[K, V] = {}
        self._current: dict[K, V] = {}

    def get(self, key: K, build: Callable[P, V], *args: P.args, **kwargs: P.kwargs) -> V:
        """The kept value for `key`, or `build(*args)`."""
        value = self._current.get(key)
        if value is None:
            value = self._previous.get(key)
            if value is None:
                value = build(*args, **kwargs)
            self._current[key] = value
        return value

    def turn(self) -> None:
        """Begin the next snapshot."""
        self._previous, self._current = self._current, {}


class Builder:
    """Builds snapshots for one edge configuration; one instance per control plane, not thread-safe."""

    def __init__(
        self,
        edge: EdgeSettings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` (seconds) times what lingers; `wall_clock` (Unix seconds) says which prices are in force."""
        self._edge = edge
        self._wall_clock = wall_clock
        self._resources: Generation[Hashable, Resource] = Generation()
        self._route_entries: Generation[Hashable, bytes] = Generation()
        self._assignments = Assignments()
        self._pool_models: list[str] = []
        self._state: State | None = None
        self._clock = clock
        self._wanted: Mapping[str, Resource] = {}
        self._lingering: dict[str, tuple[Resource, float]] = {}
        self._last = Snapshot(revision=0)
        self._listeners = {
            names.OPENAI_LISTENER: Resource.of(
                types.LISTENER, names.OPENAI_LISTENER, bytes(listeners.openai_listener(edge))
            ),
            names.ADMIN_LISTENER: Resource.of(
                types.LISTENER, names.ADMIN_LISTENER, bytes(listeners.admin_listener(edge))
            ),
        }
        self._key_input = route_table.header_input()
        self._no_match = route_table.on_match_of(no_route())
        self._translator_entry = route_table.entry(names.TRANSLATOR_ROUTE, translator_route())

    def renew(self, tls: GatewayTls) -> None:
        """From the next build on the gateway shows this certificate. Safe to call while a build runs."""
        self._edge = replace(self._edge, tls=tls)

    def build(self, revision: int, state: State, live: Mapping[str, Pool]) -> Snapshot:
        """The snapshot of `state` with the `live` pools (by model); shares with the last what did not change.

        Pools change far more often than the state: given the same state object, only assignments are looked at.
        """
        built = dict(self._last.resources)
        if state is not self._state:
            built.update(self._desired(state))
            self._wanted = built[types.CLUSTER]
            self._pool_models = _pool_models(state)
            self._state = state
        built[types.CLUSTER] = self._with_lingering(self._wanted)
        built[types.ENDPOINT] = self._assignments.of(self._pool_models, live)
        self._last = Snapshot(revision, {url: self._shared(url, mapping) for url, mapping in built.items()})
        return self._last

    @property
    def expires_in(self) -> float | None:
        """Seconds until a build would drop a lingering cluster; None if there is none."""
        ends = [end for _, end in self._lingering.values()]
        return max(0.0, min(ends) - self._clock()) if ends else None

    def _with_lingering(self, wanted: Mapping[str, Resource]) -> Mapping[str, Resource]:
        """`wanted`, and for a while what was wanted before: Envoy has matched requests to it that still wait to be
        authorised, and would answer them with 503.
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

    def _desired(self, state: State) -> dict[str, Mapping[str, Resource]]:
        """Everything that depends on the desired state alone."""
        self._resources.turn()
        self._route_entries.turn()
        now = self._wall_clock()
        plans = {route.id: chains(route, state.providers, now) for route in state.routes.values()}
        return {
            types.CLUSTER: self._clusters(state, plans),
            types.LISTENER: self._listeners,
            types.ROUTE: self._routes(state, plans),
            types.POLICY_ORGANISATION: self._policy(
                types.POLICY_ORGANISATION, state.organisations, policy.organisation
            ),
            types.POLICY_KEY: self._policy(types.POLICY_KEY, state.keys, policy.key),
            types.POLICY_ROUTE: self._policy(types.POLICY_ROUTE, state.routes, partial(policy.route, at=now)),
        }

    def _shared(self, type_url: str, mapping: Mapping[str, Resource]) -> Mapping[str, Resource]:
        previous = self._last.of_type(type_url)
        return previous if previous == mapping else mapping

    def _clusters(self, state: State, plans: Mapping[str, list[Chain]]) -> dict[str, Resource]:
        result: dict[str, Resource] = {}
        for hop, connect_ms in _hops(state, plans).items():
            result[hop.cluster] = self._target(state, hop, connect_ms)
        for route_id, plan in plans.items():
            for each in plan:
                name = names.chain_cluster(route_id, each.hops[0].cluster)
                members = [hop.cluster for hop in each.hops]
                result[name] = self._resources.get(("chain", name, *members), _chain, name, members)
        return result

    def _target(self, state: State, hop: Hop, connect_ms: int) -> Resource:
        if isinstance(hop.target, NodesTarget):
            return self._resources.get(("pool", hop.cluster, connect_ms), _pool, hop.target, connect_ms)
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

    def _routes(self, state: State, plans: Mapping[str, list[Chain]]) -> dict[str, Resource]:
        entries = [self._translator_entry]
        entries += [self._entries(route, plans[route.id]) for route in state.routes.values()]
        body = route_table.route_configuration(entries, key_input=self._key_input, no_match=self._no_match)
        return {names.ROUTE_CONFIGURATION: Resource.of(types.ROUTE, names.ROUTE_CONFIGURATION, body)}

    def _entries(self, route: Route, plan: list[Chain]) -> bytes:
        """A route's two entries: plain and streamed."""
        shape = tuple((each.weight, each.hops[0].cluster, len(each.hops)) for each in plan)
        return self._route_entries.get(
            (route.id, route.timeouts, shape), route_table.model_entries, route, plan, self._edge
        )

    def _policy(self, type_url: str, values: Mapping[str, H], encode: Callable[[H], bytes]) -> dict[str, Resource]:
        return {
            name: self._resources.get(value, _encoded, type_url, name, value, encode)
            for name, value in values.items()
        }


def _encoded(type_url: str, name: str, value: H, encode: Callable[[H], bytes]) -> Resource:
    return Resource.of(type_url, name, encode(value))


def _chain(name: str, members: list[str]) -> Resource:
    return Resource.of(types.CLUSTER, name, encoded_chain(name, members))


def _pool(target: NodesTarget, connect_ms: int) -> Resource:
    return Resource.of(types.CLUSTER, target.id, encoded_pool_cluster(target, connect_ms))


def _pool_models(state: State) -> list[str]:
    """The models that some route takes from own nodes."""
    targets = (target for route in state.routes.values() for target in route.targets)
    return sorted({target.model for target in targets if isinstance(target, NodesTarget)})


def _hops(state: State, plans: Mapping[str, list[Chain]]) -> dict[Hop, int]:
    """Every target cluster in use, with the shortest connect limit (ms) a route asks of it; 0: the default."""
    result: dict[Hop, int] = {}
    seen: dict[str, Hop] = {}
    for route_id, plan in plans.items():
        wanted = state.routes[route_id].timeouts.connect_ms
        for hop in (hop for each in plan for hop in each.hops):
            # Weights and prices belong to the route; the cluster is the same.
            first = seen.setdefault(hop.cluster, hop)
            limits = [limit for limit in (result.get(first, 0), wanted) if limit]
            result[first] = min(limits, default=0)
    return result
