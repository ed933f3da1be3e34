"""A route's variants depend on who owns nodes, not on what the nodes report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xds_server.model import DesiredState, Key, Node, NodesTarget, Privacy, ProviderTarget, Route, Visibility
from xds_server.resources.audiences import Audiences, pools

KEYS = {"k1": Key("k1", "org_1", "k1", b""), "k2": Key("k2", "org_2", "k2", b"")}
ROUTE = Route("rt_1", "m", (NodesTarget("llama"), ProviderTarget("a", "m")))
MINE = Node("nd-1", "mine", "org_1", "k1", Visibility.PRIVATE)


def audiences(route: Route, *nodes: Node) -> tuple[str, ...]:
    return Audiences.of(nodes, KEYS).of_route(route)


def test_owners_are_audiences() -> None:
    assert audiences(ROUTE) == ()
    assert audiences(ROUTE, replace(MINE, owner_key_id="")) == ("org_1",)
    assert audiences(ROUTE, MINE, replace(MINE, id="nd-2", organisation_id="org_2", owner_key_id="k2")) == (
        "k1",
        "k2",
        "org_1",
        "org_2",
    )


@pytest.mark.parametrize("visibility", list(Visibility))
def test_what_an_owner_may_change_for_a_while_changes_no_audience(visibility: Visibility) -> None:
    assert audiences(ROUTE, replace(MINE, visibility=visibility, drained=True, boost=7)) == ("k1", "org_1")


def test_nodes_without_approval_or_a_key_that_is_gone_make_none() -> None:
    assert audiences(ROUTE, replace(MINE, approved=False)) == ()
    assert audiences(ROUTE, replace(MINE, owner_key_id="revoked")) == ("org_1",)


def test_an_organisations_own_route_has_its_own_audiences_alone() -> None:
    other = replace(MINE, id="nd-2", organisation_id="org_2", owner_key_id="k2")
    assert audiences(replace(ROUTE, organisation_id="org_2"), MINE, other) == ("k2", "org_2")


def test_a_route_without_nodes_has_none() -> None:
    assert audiences(replace(ROUTE, targets=(ProviderTarget("a", "m"),)), MINE) == ()


def test_every_pool_that_has_to_be_filled() -> None:
    private = replace(ROUTE, id="rt_2", privacy=Privacy.OWN_NODES, targets=(NodesTarget("phi"),))
    state = DesiredState(1, routes={"rt_1": ROUTE, "rt_2": private}, keys=KEYS, nodes={"nd-1": MINE})
    assert {name: (pool.model, pool.audience) for name, pool in pools(state).items()} == {
        "nodes/llama": ("llama", ""),
        "nodes/llama@k1": ("llama", "k1"),
        "nodes/llama@org_1": ("llama", "org_1"),
        "nodes/phi@k1": ("phi", "k1"),
        "nodes/phi@org_1": ("phi", "org_1"),
    }
