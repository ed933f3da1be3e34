"""A change encodes only what it changed; everything else is shared with the previous snapshot."""

from dataclasses import replace
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.model import (
    DesiredState,
    Key,
    Node,
    NodesTarget,
    Organisation,
    Provider,
    ProviderTarget,
    Route,
    Visibility,
)
from xds_server.pool import Pool, PoolEndpoint
from xds_server.protocol import snapshot as types
from xds_server.resources import pools, targets
from xds_server.resources.builder import LINGER_SECONDS, Builder
from xds_server.resources.settings import EdgeSettings, GatewayTls

STATE = DesiredState(
    revision=1,
    providers={"a": Provider("a", "https://a.example/v1", credentials=("secret-a",))},
    routes={
        "rt_1": Route("rt_1", "gpt", (ProviderTarget("a", "gpt"),)),
        "rt_2": Route("rt_2", "llama", (NodesTarget("llama"), ProviderTarget("a", "llama", tier=1))),
    },
    organisations={"org_1": Organisation("org_1", "acme")},
    keys={"k1": Key("k1", "org_1", "ci", b"h" * 32)},
)
LIVE = {"nodes/llama": Pool("llama", (PoolEndpoint("n1"), PoolEndpoint("n2")))}


@pytest.fixture
def builder() -> Builder:
    return Builder(EdgeSettings())


def test_a_snapshot_names_every_target_pool_and_policy(builder: Builder) -> None:
    snapshot = builder.build(1, STATE, LIVE)
    assert set(snapshot.of_type(types.CLUSTER)) == {
        "a/gpt",
        "a/llama",
        "nodes/llama",
        "playground",
    }
    assert set(snapshot.of_type(types.ENDPOINT)) == {"nodes/llama"}
    assert set(snapshot.of_type(types.LISTENER)) == {"openai", "admin", "playground"}
    assert set(snapshot.of_type(types.POLICY_KEY)) == {"k1"}


def test_the_same_state_read_again_shares_every_type(builder: Builder) -> None:
    first = builder.build(1, STATE, LIVE)
    second = builder.build(2, replace(STATE, revision=2), LIVE)
    for url, mapping in first.resources.items():
        assert second.of_type(url) is mapping


def test_versions_survive_a_restart() -> None:
    first, second = (Builder(EdgeSettings()).build(1, STATE, LIVE) for _ in range(2))
    assert first.resources == second.resources


def test_a_weight_change_touches_the_route_table_alone(builder: Builder) -> None:
    first = builder.build(1, STATE, LIVE)
    heavier = replace(STATE.routes["rt_1"], targets=(ProviderTarget("a", "gpt", weight=7),))
    second = builder.build(2, replace(STATE, routes={**STATE.routes, "rt_1": heavier}), LIVE)
    changed = {url for url, mapping in first.resources.items() if second.of_type(url) is not mapping}
    assert changed == {types.ROUTE}


def test_one_flip_encodes_one_endpoint(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    builder.build(1, STATE, LIVE)
    encoded: list[str] = []
    original = pools.lb_endpoint

    def counting(model: str, endpoint: PoolEndpoint) -> bytes:
        encoded.append(endpoint.node_id)
        return original(model, endpoint)

    monkeypatch.setattr(pools, "lb_endpoint", counting)
    first, second = LIVE["nodes/llama"].endpoints
    flipped = {"nodes/llama": Pool("llama", (first, replace(second, health="unhealthy")))}
    builder.build(2, STATE, flipped)
    assert encoded == ["n2"]


def with_nodes(*nodes: Node) -> DesiredState:
    return replace(STATE, revision=2, nodes={each.id: each for each in nodes})


def test_owners_of_nodes_get_shapes_and_pools_of_their_own(builder: Builder) -> None:
    node = Node("nd-1", "mine", "org_1", "k1", Visibility.PRIVATE)
    snapshot = builder.build(2, with_nodes(node), LIVE)
    assert set(snapshot.of_type(types.ENDPOINT)) == {"nodes/llama", "nodes/llama@k1", "nodes/llama@org_1"}
    assert set(snapshot.of_type(types.CLUSTER)) >= {"nodes/llama", "nodes/llama@k1", "nodes/llama@org_1"}
    reported = {
        name: list(policy_pb2.Route.FromString(each.body).audiences)
        for name, each in snapshot.of_type(types.POLICY_ROUTE).items()
    }
    assert reported == {"rt_1": [], "rt_2": ["k1", "org_1"]}


def test_nodes_that_come_and_go_change_endpoints_alone(builder: Builder) -> None:
    state = with_nodes(Node("nd-1", "mine", "org_1"))
    before = builder.build(2, state, {})
    nodes = (PoolEndpoint("nd-1", own=True), PoolEndpoint("nd-2", health="unhealthy"))
    for live in ({}, {"nodes/llama@org_1": Pool("llama", nodes, "org_1")}, {}):
        after = builder.build(3, state, live)
        changed = {url for url, mapping in before.resources.items() if after.of_type(url) != mapping}
        assert changed <= {types.ENDPOINT}
    drained = replace(state, revision=4, nodes={"nd-1": Node("nd-1", "mine", "org_1", drained=True, boost=300)})
    assert builder.build(4, drained, {}).resources == before.resources


def test_a_renewed_certificate_changes_its_secret_alone() -> None:
    edge = EdgeSettings(tunnel_listen=("127.0.0.1", 1), tunnel_secret="word", tls=GatewayTls("ca", "first", "key"))
    builder = Builder(edge)
    first = builder.build(1, STATE, LIVE)
    builder.renew(GatewayTls("ca", "second", "key"))
    second = builder.build(1, STATE, LIVE)
    assert {url for url, mapping in first.resources.items() if second.of_type(url) is not mapping} == {
        types.SECRET
    }
    old, new = first.of_type(types.SECRET), second.of_type(types.SECRET)
    assert {name for name in new if new[name] != old[name]} == {"gateway"}


def test_certificates_may_come_later() -> None:
    builder = Builder(EdgeSettings(tunnel_listen=("127.0.0.1", 1), tunnel_secret="word"))
    assert set(builder.build(1, STATE, LIVE).of_type(types.LISTENER)) == {"openai", "admin", "playground"}
    builder.renew(GatewayTls("ca", "certificate", "key"))
    snapshot = builder.build(1, STATE, LIVE)
    assert "tunnel" in snapshot.of_type(types.LISTENER)
    assert snapshot.of_type(types.CLUSTER).keys() >= {"tunnels", "tunnel-handshake"}
    pool = Cluster.parse(snapshot.of_type(types.CLUSTER)["nodes/llama"].body)
    assert pool.transport_socket is not None


def test_resources_of_one_shape_are_encoded_once(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    original = targets.provider_cluster

    def counting(name: str, *args: Any) -> Cluster:
        encoded.append(name)
        return original(name, *args)

    monkeypatch.setattr(targets, "provider_cluster", counting)
    provider = Provider("b", "https://encoded-once.example/v1")
    routes = [Route(f"rt_{number}", f"m{number}", (ProviderTarget("b", f"m{number}"),)) for number in range(20)]
    snapshot = builder.build(1, DesiredState(1, {"b": provider}, {each.id: each for each in routes}), {})
    assert len(snapshot.of_type(types.CLUSTER)) == 20 + len({"playground"})
    assert len(encoded) == 1


def test_an_emptied_pool_keeps_an_empty_assignment(builder: Builder) -> None:
    snapshot = builder.build(1, STATE, {})
    assert set(snapshot.of_type(types.ENDPOINT)) == {"nodes/llama"}
    full = builder.build(2, STATE, LIVE).of_type(types.ENDPOINT)["nodes/llama"]
    emptied = builder.build(3, STATE, {}).of_type(types.ENDPOINT)["nodes/llama"]
    assert len(emptied.body) < len(full.body)
    assert emptied == snapshot.of_type(types.ENDPOINT)["nodes/llama"]


def test_no_policy_resource_carries_a_credential(builder: Builder) -> None:
    snapshot = builder.build(1, STATE, LIVE)
    for url in (types.POLICY_ORGANISATION, types.POLICY_KEY, types.POLICY_ROUTE):
        for resource in snapshot.of_type(url).values():
            assert b"secret-a" not in resource.body


def test_clusters_outlive_their_routes_for_requests_that_still_wait() -> None:
    now = 0.0
    builder = Builder(EdgeSettings(), clock=lambda: now)
    before = builder.build(1, STATE, LIVE)
    fewer = replace(STATE, revision=2, routes={"rt_2": STATE.routes["rt_2"]})
    assert builder.expires_in is None
    assert builder.build(2, fewer, LIVE).of_type(types.CLUSTER) == before.of_type(types.CLUSTER)
    assert builder.expires_in == LINGER_SECONDS
    now = LINGER_SECONDS
    after = builder.build(2, fewer, LIVE).of_type(types.CLUSTER)
    assert before.of_type(types.CLUSTER).keys() - after.keys() == {"a/gpt"}
    assert builder.expires_in is None


def test_lingering_clusters_keep_their_assignments() -> None:
    now = 0.0
    builder = Builder(EdgeSettings(), clock=lambda: now)
    before = builder.build(1, STATE, LIVE).of_type(types.ENDPOINT)
    assert set(before) == {"nodes/llama"}
    # The pool has ended with its route, so the live pools do not contain it either.
    gone = replace(STATE, revision=2, routes={})
    for live in (LIVE, {}, {}):
        snapshot = builder.build(2, gone, live)
        assert snapshot.of_type(types.ENDPOINT) == before
        assert "nodes/llama" in snapshot.of_type(types.CLUSTER)
    now = LINGER_SECONDS
    last = builder.build(2, gone, {})
    assert last.of_type(types.ENDPOINT) == {}
    assert "nodes/llama" not in last.of_type(types.CLUSTER)


def test_a_pool_that_is_wanted_again_is_live_again() -> None:
    builder = Builder(EdgeSettings(), clock=lambda: 0.0)
    full = builder.build(1, STATE, LIVE).of_type(types.ENDPOINT)
    builder.build(2, replace(STATE, revision=2, routes={}), {})
    emptied = builder.build(3, replace(STATE, revision=3), {}).of_type(types.ENDPOINT)
    assert set(emptied) == set(full)
    assert emptied != full


def test_a_cluster_that_is_wanted_again_stays() -> None:
    now = 0.0
    builder = Builder(EdgeSettings(), clock=lambda: now)
    builder.build(1, STATE, LIVE)
    builder.build(2, replace(STATE, revision=2, routes={}), LIVE)
    again = builder.build(3, replace(STATE, revision=3), LIVE)
    now = LINGER_SECONDS
    assert builder.build(3, replace(STATE, revision=3), LIVE).of_type(types.CLUSTER) == again.of_type(
        types.CLUSTER
    )


def test_other_machines_are_another_policy_of_the_routes_that_wait_for_them(builder: Builder) -> None:
    waits = Route("rt_3", "own", (NodesTarget("llama"),), queue_longest_ms=1_000)
    state = replace(STATE, routes={**STATE.routes, "rt_3": waits})

    def reported(slots: int) -> Any:
        live = {"nodes/llama": Pool("llama", (PoolEndpoint("n1", slots=slots),))}
        return builder.build(1, state, live).of_type(types.POLICY_ROUTE)

    first, same, other = reported(2), reported(2), reported(3)
    assert same is first
    assert {name for name in other if other[name] is not first[name]} == {"rt_3"}
    sums = [
        [each.slots for each in policy_pb2.Route.FromString(routes["rt_3"].body).slots]
        for routes in (first, other)
    ]
    assert sums == [[2], [3]]
    # A new state does not encode anything else again, either.
    assert builder.build(2, replace(state, revision=2), {}).of_type(types.POLICY_ROUTE)["rt_1"] is first["rt_1"]


def test_an_answer_is_cached_for_the_addresses_of_its_targets(builder: Builder) -> None:
    target = ProviderTarget("a", "gpt")
    caches = Route("rt_4", "cached", (target, NodesTarget("llama")), cache_ttl_seconds=60)
    routes = {"rt_4": caches, "rt_5": replace(caches, id="rt_5", model="plain", cache_ttl_seconds=0)}

    def built(**changes: Any) -> Any:
        provider = replace(STATE.providers["a"], **changes)
        state = replace(STATE, providers={**STATE.providers, "a": provider}, routes=routes)
        return builder.build(1, state, {}).of_type(types.POLICY_ROUTE)

    def origins(resources: Any, name: str) -> str:
        return policy_pb2.Route.FromString(resources[name].body).cache_origins

    first, same, moved = built(), built(stream_usage=False), built(base_url="https://elsewhere.example/v1")
    assert same == first
    assert {name for name in moved if moved[name] != first[name]} == {"rt_4"}
    assert len({origins(first, "rt_4"), origins(moved, "rt_4"), origins(first, "rt_5")}) == 3
    assert origins(first, "rt_5") == ""
