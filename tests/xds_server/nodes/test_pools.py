"""Who may use which node: the table of docs/nodes.md, and invariants of every pool."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st
from trunkline_proto.node.v1 import registry_pb2 as pb

from tests.xds_server.nodes.reporting import Scene, first, node, node_id, offer
from xds_server.model import Node, Visibility
from xds_server.pool import Pool, pool_name

PRIVATE, ORGANISATION, COMMUNITY = Visibility.PRIVATE, Visibility.ORGANISATION, Visibility.COMMUNITY

#: Key → organisation.
KEYS = {"key_a1": "org_a", "key_a2": "org_a", "key_b1": "org_b"}
ORGANISATIONS = ("org_a", "org_b", "org_c")


def members(pool: Pool | None) -> list[tuple[str, bool]]:
    """Returns (node, own) of each endpoint."""
    return [(each.node_id, each.own) for each in pool.endpoints] if pool else []


def test_the_table() -> None:
    nodes = [
        node(0, "org_a", visibility=COMMUNITY),
        node(1, "org_a", visibility=ORGANISATION),
        node(2, "org_a", visibility=PRIVATE),
        node(3, "org_a", visibility=PRIVATE, owner_key_id="key_a1"),
        node(4, "org_b", visibility=COMMUNITY, owner_key_id="key_b1"),
        node(5, "org_c", visibility=ORGANISATION),
    ]
    scene = Scene(*nodes)
    for number in range(6):
        scene.report(number, first())
    a, b, c, d, e, f = (each.id for each in nodes)
    assert {name: members(pool) for name, pool in scene.pools.items()} == {
        "nodes/m": [(a, False), (e, False)],
        "nodes/m@org_a": [(a, True), (b, True), (c, True)],
        "nodes/m@key_a1": [(d, True)],
        "nodes/m@org_b": [(e, True)],
        "nodes/m@org_c": [(f, True)],
    }


def test_a_models_name_leads_into_no_other_pool() -> None:
    """A stranger's node offers `m@org_a`; it must not appear in organisation A's pool of `m`."""
    model = "m@org_a"
    scene = Scene(node(0, "org_a"), node(1, "org_b", visibility=COMMUNITY), models=("m", model))
    scene.report(0, first())
    scene.report(1, first(offer(model)))
    assert members(scene.pools["nodes/m@org_a"]) == [(node_id(0), True)]
    assert members(scene.pools["nodes/m%40org_a"]) == [(node_id(1), False)]


names = st.text(st.sampled_from("m@!%_/"), min_size=1, max_size=6)


@given(names, st.sampled_from(["", "org_a", "key_a"]), names, st.sampled_from(["", "org_a", "key_a"]))
def test_pool_names_are_unambiguous(one: str, its: str, other: str, others: str) -> None:
    all_names = {
        (model, audience): pool_name(model, audience) for model, audience in ((one, its), (other, others))
    }
    assert len(set(all_names.values())) == len(all_names)


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    found: list[Node] = []
    for number in range(draw(st.integers(0, 6))):
        organisation = draw(st.sampled_from(ORGANISATIONS))
        keys = [key for key, owner in KEYS.items() if owner == organisation]
        found.append(
            node(
                number,
                organisation,
                owner_key_id=draw(st.sampled_from(["", *keys])),
                visibility=draw(st.sampled_from(Visibility)),
                approved=draw(st.booleans()),
                drained=draw(st.booleans()),
                boost=draw(st.sampled_from([10, 100, 1_000])),
            )
        )
    return found


REPORTS = st.builds(
    lambda availability, models, draining: first(
        *(offer(model) for model in models), availability=availability, draining=draining
    ),
    st.sampled_from([pb.AVAILABILITY_OPEN, pb.AVAILABILITY_OWNER_ONLY, pb.AVAILABILITY_CLOSED]),
    st.lists(st.sampled_from(["m", "n"]), unique=True, min_size=1),
    st.booleans(),
)
STEPS = st.lists(st.tuples(st.sampled_from(["report", "wait", "desire"]), st.integers(0, 5), REPORTS, nodes()))


def admitted(node: Node, availability: int, audience: str) -> bool:
    """Implements the rules of docs/nodes.md a second time, in another way."""
    if not node.approved or availability == pb.AVAILABILITY_CLOSED:
        return False
    visibility = PRIVATE if availability == pb.AVAILABILITY_OWNER_ONLY else node.visibility
    organisation = KEYS.get(audience, audience)
    if visibility is COMMUNITY:
        return True
    if visibility is ORGANISATION:
        return organisation == node.organisation_id
    if node.owner_key_id:
        return audience == node.owner_key_id
    return organisation == node.organisation_id


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(nodes(), STEPS)
def test_no_pool_ever_holds_a_node_that_its_audience_may_not_use(
    start: list[Node], steps: list[tuple[str, int, pb.NodeReport, list[Node]]]
) -> None:
    scene = Scene(*start, models=("m", "n"))
    last: dict[str, pb.NodeReport] = {}
    for what, number, report, wanted in steps:
        if what == "report" and node_id(number) in scene.live.nodes:
            last[node_id(number)] = report
            scene.report(number, report)
        elif what == "wait":
            scene.wait(2.0)
        elif what == "desire":
            for gone in scene.desire(*wanted):
                scene.live.forget(gone, scene.clock.now)
                del last[gone]
            scene.take()
        for name, pool in scene.pools.items():
            assert name == pool.name
            held = {each.node_id for each in pool.endpoints}
            assert len(held) == len(pool.endpoints)
            for endpoint in pool.endpoints:
                desired = scene.live.nodes[endpoint.node_id]
                said = last[endpoint.node_id]
                assert pool.model in {each.model for each in said.offers}
                assert admitted(desired, said.availability, pool.audience)
                owns = desired.organisation_id == KEYS.get(pool.audience, pool.audience)
                assert endpoint.own == owns == bool(pool.audience)
                if desired.drained or said.draining:
                    assert endpoint.health != "healthy"
        # No node is forgotten: each one that reports and is admitted is in a pool of the audience's plan.
        audiences = {
            "",
            *(each.organisation_id for each in scene.live.nodes.values()),
            *(each.owner_key_id for each in scene.live.nodes.values()),
        }
        for known, said in last.items():
            for audience in audiences:
                for model in {each.model for each in said.offers}:
                    plan = {audience, KEYS.get(audience, audience), ""}
                    found = [scene.pools.get(pool_name(model, owner)) for owner in plan]
                    there = any(known in {each.node_id for each in pool.endpoints} for pool in found if pool)
                    assert there == admitted(scene.live.nodes[known], said.availability, audience)
