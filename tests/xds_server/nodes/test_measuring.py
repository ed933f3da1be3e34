"""Which node may measure its owner's use, and when."""

from __future__ import annotations

import pytest
from trunkline_proto.node.v1 import registry_pb2 as pb

from tests.xds_server.nodes.reporting import Scene, first, heartbeat, node, node_id, offer
from xds_server.model import DesiredState, NodesTarget, Privacy, ProviderTarget, Route
from xds_server.nodes.measuring import GRANT, backed_models

WANTS = heartbeat(measurement_wanted=True)
MEASURES = heartbeat(measurement_wanted=True, availability=pb.AVAILABILITY_CLOSED)
DONE = heartbeat(availability=pb.AVAILABILITY_OPEN)


def granted(scene: Scene, number: int) -> bool:
    return scene.live.may_measure(node_id(number), scene.clock.now)


def pool_of(number: int) -> Scene:
    scene = Scene(*(node(each) for each in range(number)))
    for each in range(number):
        scene.report(each, first())
    return scene


def test_nobody_measures_who_does_not_ask() -> None:
    assert not granted(pool_of(2), 0)
    assert not granted(Scene(), 0)


def test_one_of_a_pool_at_a_time() -> None:
    scene = pool_of(3)
    for each in range(3):
        scene.report(each, WANTS)
    assert granted(scene, 0)
    assert not granted(scene, 1)
    assert not granted(scene, 2)
    scene.report(0, MEASURES)
    assert granted(scene, 0)
    assert not granted(scene, 1)
    scene.report(0, DONE)
    assert not granted(scene, 0)
    assert granted(scene, 1)


def test_a_grant_ends_and_others_have_their_turn() -> None:
    """A sidecar that hangs must not keep its pool from measuring."""
    scene = pool_of(3)
    for each in range(3):
        scene.report(each, WANTS)
    assert granted(scene, 0)
    scene.clock.move(GRANT)
    assert not granted(scene, 0)
    assert granted(scene, 1)


@pytest.mark.parametrize("other", [MEASURES, heartbeat(offers=[offer(healthy=False)]), heartbeat(draining=True)])
def test_the_last_that_serves_goes_on_serving(other: pb.NodeReport) -> None:
    scene = pool_of(2)
    scene.report(0, other)
    scene.report(1, WANTS)
    assert not granted(scene, 1)
    scene.report(0, heartbeat(availability=pb.AVAILABILITY_OPEN, offers=[offer()]))
    assert granted(scene, 1)


def test_a_node_alone_measures_where_a_provider_serves_too() -> None:
    scene = pool_of(1)
    scene.report(0, WANTS)
    assert not granted(scene, 0)
    backed = Route("rt_m", "m", (NodesTarget("m"), ProviderTarget("openai", "m")))
    scene.live.desired(DesiredState(2, routes={"rt_m": backed}, nodes=scene.live.nodes))
    assert granted(scene, 0)


@pytest.mark.parametrize(
    ("routes", "backed"),
    [
        ([Route("a", "a", (NodesTarget("m"), ProviderTarget("p", "x")))], {"m"}),
        ([Route("a", "a", (NodesTarget("m"),))], set()),
        ([Route("a", "a", (NodesTarget("m"), NodesTarget("n")))], set()),
        (
            [
                Route("a", "a", (NodesTarget("m"), ProviderTarget("p", "x"))),
                Route("b", "b", (NodesTarget("m"),)),
            ],
            set(),
        ),
        (
            [Route("a", "a", (NodesTarget("m"), ProviderTarget("p", "x")), privacy=Privacy.OWN_NODES)],
            set(),
        ),
    ],
)
def test_a_model_is_backed_if_each_of_its_routes_has_a_provider(routes: list[Route], backed: set[str]) -> None:
    assert backed_models(DesiredState(1, routes={each.id: each for each in routes})) == backed
