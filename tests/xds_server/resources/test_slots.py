"""How many requests a route's machines run at once, as sent to translators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from xds_server.model import NodesTarget, Privacy, ProviderTarget, Route
from xds_server.pool import Pool, PoolEndpoint
from xds_server.resources.slots import UNLIMITED, slots, waits_for_machines

ROUTE = Route("rt_a", "llama", (NodesTarget("llama3"),), queue_longest_ms=1_000)


def pools(**endpoints: list[PoolEndpoint]) -> dict[str, Pool]:
    """Returns pools by audience; `everybody` is everybody's."""
    made = [Pool("llama3", tuple(of), "" if name == "everybody" else name) for name, of in endpoints.items()]
    return {each.name: each for each in made}


def reported(route: Route, live: Mapping[str, Pool]) -> dict[str, int]:
    return {each.audience: each.slots for each in slots(route, live.values(), live)}


@pytest.mark.parametrize(
    ("changed", "waits"),
    [
        ({}, True),
        ({"queue_longest_ms": 0}, False),
        ({"targets": (NodesTarget("llama3"), NodesTarget("other"))}, True),
        # A request that finds no machine goes to the provider.
        ({"targets": (NodesTarget("llama3"), ProviderTarget("openai", "gpt"))}, False),
    ],
)
def test_which_routes_wait(changed: dict[str, Any], waits: bool) -> None:
    assert waits_for_machines(replace(ROUTE, **changed)) is waits


def test_healthy_machines_are_summed() -> None:
    live = pools(
        everybody=[
            PoolEndpoint("a", slots=2),
            PoolEndpoint("b", slots=3),
            PoolEndpoint("c", health="unhealthy", slots=16),
            PoolEndpoint("d", health="draining", slots=16),
        ]
    )
    assert slots(ROUTE, live.values(), live) == (policy.PoolSlots(model="llama3", slots=5),)


def test_a_machine_without_a_limit_has_room_for_all() -> None:
    assert reported(ROUTE, pools(everybody=[PoolEndpoint("a", slots=2), PoolEndpoint("b")])) == {"": UNLIMITED}


def test_a_machine_of_everybody_counts_once() -> None:
    """The owner's audience has the machine in a pool of its own, ahead of the others."""
    live = pools(
        everybody=[PoolEndpoint("a", slots=2), PoolEndpoint("b", slots=3)],
        org_a=[PoolEndpoint("a", slots=2, own=True), PoolEndpoint("own", slots=4, own=True)],
        key_a=[PoolEndpoint("private", slots=1, own=True)],
    )
    assert reported(ROUTE, live) == {"": 5, "org_a": 4, "key_a": 1}
    # A route for own machines has only these.
    assert reported(replace(ROUTE, privacy=Privacy.OWN_NODES), live) == {"org_a": 6, "key_a": 1}


def test_without_machines_nothing_is_reported() -> None:
    assert reported(ROUTE, pools(everybody=[])) == {}
    assert (
        reported(replace(ROUTE, targets=(NodesTarget("other"),)), pools(everybody=[PoolEndpoint("a", slots=2)]))
        == {}
    )
