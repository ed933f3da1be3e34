"""Assignments: which endpoints they contain and leave out, with weights that Envoy accepts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment

from xds_server.pool import Pool, PoolEndpoint
from xds_server.resources import pools
from xds_server.resources.pools import Assignments


def assigned(pool: Pool, *, direct: bool = True) -> ClusterLoadAssignment:
    empty = {pool.name: replace(pool, endpoints=())}
    (resource,) = Assignments(direct=direct).of(empty, {pool.name: pool}).values()
    return ClusterLoadAssignment.parse(resource.body)


def hosts(pool: Pool, *, direct: bool = True) -> list[str]:
    return [
        host.endpoint.hostname
        for each in assigned(pool, direct=direct).endpoints
        for host in each.lb_endpoints
        if host.endpoint is not None
    ]


def test_an_empty_pool_has_no_endpoints() -> None:
    assert hosts(Pool("m", (PoolEndpoint("nd-1"), PoolEndpoint("nd-3")))) == ["nd-1", "nd-3"]
    assert not assigned(Pool("m", ())).endpoints


def test_an_endpoint_that_came_back_is_a_new_one_to_envoy() -> None:
    nodes = (PoolEndpoint("nd-1"), PoolEndpoint("nd-2", returns=2), PoolEndpoint("nd-3", returns=1))
    localities = [
        (each.locality.sub_zone if each.locality else None, each.lb_endpoints[0].endpoint.hostname)
        for each in assigned(Pool("m", nodes)).endpoints
        if each.lb_endpoints[0].endpoint
    ]
    assert localities == [(None, "nd-1"), ("return 1", "nd-3"), ("return 2", "nd-2")]


def test_nothing_that_the_audience_does_not_own_is_in_its_pool() -> None:
    nodes = (PoolEndpoint("nd-1"), PoolEndpoint("nd-2", own=True))
    assert hosts(Pool("m", nodes, "org_1")) == ["nd-2"]


def test_without_certificates_nothing_is_reached_directly() -> None:
    nodes = (PoolEndpoint("nd-1", ("10.0.0.1", 8443)), PoolEndpoint("nd-2"))
    assert hosts(Pool("m", nodes), direct=False) == ["nd-2"]


def test_an_endpoint_says_how_it_is_reached_and_what_it_costs() -> None:
    nodes = (
        PoolEndpoint("nd-1", ("10.0.0.1", 8443), own=True, input_price=5, output_price=7),
        PoolEndpoint("nd-2", weight=3),
    )
    (locality,) = assigned(Pool("a b", nodes)).endpoints
    own, other = locality.lb_endpoints
    assert own.endpoint is not None
    assert own.endpoint.address is not None
    assert own.endpoint.address.socket_address is not None
    assert own.endpoint.address.socket_address.address == "10.0.0.1"
    assert own.metadata is not None
    assert own.metadata.filter_metadata.keys() == {"trunkline"}
    words = {key: value.string_value for key, value in own.metadata.filter_metadata["trunkline"].fields.items()}
    assert words == {
        "target": "nodes/a b",
        "dress": '-uno /v1 nd-1 nodes/a%20b "a b"',
        "node": "nd-1 5 7",
    }
    assert other.load_balancing_weight == 3
    assert other.endpoint is not None
    assert other.endpoint.address is not None
    internal = other.endpoint.address.envoy_internal_address
    assert internal is not None
    assert (internal.server_listener_name, internal.endpoint_id) == ("tunnel-egress", "nd-2")
    assert other.metadata is not None
    assert "envoy.transport_socket_match" in other.metadata.filter_metadata


def test_weights_add_up_to_what_envoy_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_MAX_SUM", 4_000_000)
    nodes = tuple(PoolEndpoint(f"nd-{number}", weight=1_000_000 if number else 1) for number in range(5))
    (tier,) = assigned(Pool("m", nodes)).endpoints
    assert [each.load_balancing_weight for each in tier.lb_endpoints] == [1, 500_000, 500_000, 500_000, 500_000]


def test_a_node_is_encoded_once_for_all_pools_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    original = pools.lb_endpoint

    def counting(model: str, endpoint: PoolEndpoint) -> bytes:
        encoded.append(endpoint.node_id)
        return original(model, endpoint)

    monkeypatch.setattr(pools, "lb_endpoint", counting)
    nodes = (PoolEndpoint("nd-1", own=True), PoolEndpoint("nd-2", own=True))
    empty = [Pool("m", (), audience) for audience in ("", "org_1", "org_2")]
    live = {each.name: Pool("m", nodes, each.audience) for each in empty}
    Assignments(direct=True).of({each.name: each for each in empty}, live)
    assert encoded == ["nd-1", "nd-2"]
