"""A route with `privacy: own-nodes` leads only to its owner's machines, in every possible snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.route.v3 import Route as EnvoyRoute, RouteConfiguration
from envoy_data_plane.xds.type.matcher.v3 import Matcher
from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given, settings, strategies as st

from xds_server.model import (
    DesiredState,
    Key,
    Node,
    NodesTarget,
    Privacy,
    Provider,
    ProviderTarget,
    Route,
    Strategy,
    Visibility,
)
from xds_server.pool import Pool, PoolEndpoint
from xds_server.protocol.snapshot import ENDPOINT, ROUTE, ResourceSnapshot
from xds_server.protocol.wire import fields
from xds_server.resources.audiences import pools
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings

ORGANISATIONS = ("org_1", "org_2")
KEYS = {"k1": Key("k1", "org_1", "k1", b"1"), "k2": Key("k2", "org_2", "k2", b"2")}
PROVIDERS = {"a": Provider("a", "https://a.example/v1", credentials=("one", "two"))}

targets = st.lists(
    st.one_of(
        st.builds(ProviderTarget, st.just("a"), st.sampled_from(["m", "n"]), st.integers(0, 2), st.integers(0, 1)),
        st.builds(NodesTarget, st.sampled_from(["m", "n"]), st.integers(0, 2), st.integers(0, 1)),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda target: target.id,
)
nodes = st.dictionaries(
    st.sampled_from(["nd-1", "nd-2", "nd-3"]),
    st.tuples(
        st.sampled_from([("org_1", ""), ("org_1", "k1"), ("org_2", ""), ("org_2", "k2")]),
        st.sampled_from(Visibility),
        st.booleans(),
    ),
)


@st.composite
def states(draw: st.DrawFn) -> DesiredState:
    """Draws a state with the private route, and a route to the same targets without privacy."""
    chosen = tuple(draw(targets))
    private = Route(
        "rt_1", "m", chosen, draw(st.sampled_from(["", "org_1"])), draw(st.sampled_from(Strategy)),
        privacy=Privacy.OWN_NODES,
    )  # fmt: skip
    known = {
        name: Node(name, name, owner[0], owner[1], visibility, approved)
        for name, (owner, visibility, approved) in draw(nodes).items()
    }
    routes = {"rt_1": private, "rt_12": replace(private, id="rt_12", privacy=Privacy.ANY)}
    return DesiredState(1, PROVIDERS, routes, keys=KEYS, nodes=known)


def entries(matcher: Matcher | None) -> Iterator[tuple[str, EnvoyRoute]]:
    """Yields every key of the route table, exact or prefix, with the route that it selects."""
    while matcher is not None:
        tree = matcher.matcher_tree
        assert tree is not None
        found = tree.exact_match_map or tree.prefix_match_map
        assert found is not None
        for key, on_match in found.map.items():
            assert on_match.action is not None
            assert on_match.action.typed_config is not None
            yield key, EnvoyRoute.parse(on_match.action.typed_config.value)
        assert matcher.on_no_match is not None
        matcher = matcher.on_no_match.matcher


def reachable(route: EnvoyRoute) -> list[str]:
    """Returns the target clusters of a route's plan."""
    if route.direct_response is not None:
        return []
    assert route.route is not None
    plugin = route.route.inline_cluster_specifier_plugin
    assert plugin is not None
    assert plugin.extension is not None
    assert plugin.extension.typed_config is not None
    (config,) = (field.value for field in fields(plugin.extension.typed_config.value) if field.number == 3)
    packed = Any.FromString(config)
    return [line.split(" ", 6)[6] for line in StringValue.FromString(packed.value).value.splitlines()]


def hosts(snapshot: ResourceSnapshot, cluster: str) -> set[str]:
    assignment = ClusterLoadAssignment.parse(snapshot.of_type(ENDPOINT)[cluster].body)
    every_host = (host for tier in assignment.endpoints for host in tier.lb_endpoints)
    return {host.endpoint.hostname for host in every_host if host.endpoint is not None}


def owned(state: DesiredState, audience: str) -> set[str]:
    return {
        node.id
        for node in state.nodes.values()
        if node.approved and audience in {node.organisation_id, node.owner_key_id}
    }


def owners(audience: str) -> set[str]:
    """Returns the owners whose machines the audience may use."""
    return {audience, KEYS[audience].organisation_id} if audience in KEYS else {audience}


def check(snapshot: ResourceSnapshot, state: DesiredState) -> None:
    (table,) = snapshot.of_type(ROUTE).values()
    (virtual_host,) = RouteConfiguration.parse(table.body).virtual_hosts
    of_the_route = [
        (key, route)
        for key, route in entries(virtual_host.matcher)
        if key == "rt_1" or key.startswith(("rt_1@", "rt_1:"))
    ]
    assert {key for key, _ in of_the_route} >= {"rt_1", "rt_1:stream"}
    for key, route in of_the_route:
        audience = key.removesuffix(":stream").partition("@")[2]
        clusters = set(reachable(route))
        assert clusters <= {f"nodes/{model}@{owner}" for model in ("m", "n") for owner in owners(audience)}
        if not audience:
            assert not clusters
        for cluster in clusters:
            assert hosts(snapshot, cluster) <= owned(state, cluster.partition("@")[2])


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(states(), st.lists(states(), max_size=2), st.sampled_from(["empty", "full"]))
def test_nothing_else_can_be_reached(first: DesiredState, later: list[DesiredState], live: str) -> None:
    """`full` fills every pool with every node, as a component without knowledge of owners would."""
    builder = Builder(EdgeSettings())
    for revision, state in enumerate((first, *later), 1):
        everything = {
            name: replace(
                pool,
                endpoints=tuple(
                    PoolEndpoint(node, own=node in owned(state, pool.audience)) for node in state.nodes
                ),
            )
            for name, pool in pools(state).items()
        }
        check(builder.build(revision, state, everything if live == "full" else {}), state)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(states())
def test_a_route_that_becomes_private_leaves_nothing_behind(state: DesiredState) -> None:
    """The old clusters stay for a while, but no route leads to them."""
    builder = Builder(EdgeSettings(), clock=lambda: 0.0)
    alone = replace(state, routes={"rt_1": state.routes["rt_1"]})
    open_before = {"rt_1": replace(state.routes["rt_1"], privacy=Privacy.ANY, strategy=Strategy.WEIGHTED)}
    builder.build(1, replace(alone, routes=open_before), {})
    check(builder.build(2, alone, {}), alone)
    assert builder.expires_in is not None


@given(*[st.builds(Pool, st.text("m@!%o", min_size=1), st.just(()), st.text("o1"))] * 2)
def test_no_model_has_a_name_by_which_it_gets_into_anothers_pool(one: Pool, other: Pool) -> None:
    assert (one == other) == (one.name == other.name)
