"""The input is reports and leases, the output pools that differ."""

from __future__ import annotations

import ipaddress

import pytest
from trunkline_proto.node.v1 import registry_pb2 as pb

from tests.xds_server.nodes.reporting import Scene, first, heartbeat, node, node_id, offer
from xds_server.errors import InvalidFieldError
from xds_server.model import Visibility
from xds_server.nodes.direct import DirectAddresses
from xds_server.nodes.live import LiveNodes
from xds_server.pool import Pool

ALL = "nodes/m@org_a"


def only(scene: Scene, pool: str = ALL) -> Pool:
    return scene.pools[pool]


def test_a_node_that_reports_is_in_its_pools() -> None:
    scene = Scene(node(boost=200))
    assert scene.pools == {}
    assert scene.live.describe(node_id(0)) is None
    assert scene.report(0, first(offer(input_price=5, output_price=7)))
    (endpoint,) = only(scene).endpoints
    assert (endpoint.node_id, endpoint.health, endpoint.own, endpoint.direct) == (
        node_id(0),
        "healthy",
        True,
        None,
    )
    assert (endpoint.input_price, endpoint.output_price, endpoint.weight) == (5, 7, 160)
    described = scene.live.describe(node_id(0))
    assert described is not None
    assert (described.state, described.last_seen) == ("online", int(scene.clock.now.unix))
    assert [each.model for each in described.offers] == ["m"]


def test_heartbeats_change_nothing() -> None:
    scene = Scene(node())
    scene.report(0, first())
    pool = only(scene)
    for _ in range(20):
        assert not scene.report(0, heartbeat(load=pb.Load(concurrency_limit=8, in_flight=1)))
        scene.clock.move(2.0)
        assert scene.take() == {}
    assert only(scene) is pool


def test_a_lost_lease_turns_unhealthy_and_then_leaves() -> None:
    scene = Scene(node(0), node(1))
    scene.report(0, first())
    scene.report(1, first())
    scene.wait(5.5, 1)
    assert (scene.health(0), scene.health(1)) == ("healthy", "healthy")
    scene.wait(0.5, 1)
    assert (scene.health(0), scene.health(1)) == ("unhealthy", "healthy")
    assert scene.live.describe(node_id(0)).state == "unhealthy"  # type: ignore[union-attr]
    scene.wait(600.0, 1)
    assert (scene.health(0), scene.health(1)) == (None, "healthy")
    assert scene.departed == [node_id(0)]
    assert scene.live.describe(node_id(0)).state == "offline"  # type: ignore[union-attr]
    scene.report(0, heartbeat())
    assert scene.health(0) == "healthy"


def test_a_node_that_came_back_is_reported_from_what_it_was() -> None:
    scene = Scene(node())

    def seen() -> tuple[str, int]:
        (endpoint,) = scene.pools["nodes/m@org_a"].endpoints
        return endpoint.health, endpoint.returns

    scene.report(0, first())
    scene.wait(6.0)
    assert seen() == ("unhealthy", 0)
    scene.report(0, heartbeat())
    assert seen() == ("healthy", 1)
    scene.wait(5.0, 0)
    assert seen() == ("healthy", 1)


def test_a_control_plane_that_was_away_blames_no_node() -> None:
    scene = Scene(node())
    scene.report(0, first())
    scene.wait(1.0)
    scene.clock.move(60.0)
    scene.live.expire(scene.clock.now)
    scene.take()
    assert scene.health(0) == "healthy"
    scene.wait(5.5)
    assert scene.health(0) == "healthy"
    scene.wait(0.5)
    assert scene.health(0) == "unhealthy"


def test_what_the_node_reports_of_itself() -> None:
    scene = Scene(node(0, visibility=Visibility.COMMUNITY), node(1, "org_b"))
    scene.report(0, first())

    def state() -> tuple[str, str]:
        described = scene.live.describe(node_id(0))
        assert described is not None
        return described.state, described.state_reason

    scene.report(0, heartbeat(offers=[offer(healthy=False)]))
    assert scene.health(0) == "unhealthy"
    assert state() == ("unhealthy", "no local server answers its health check")
    scene.report(0, heartbeat(offers=[offer()]))
    scene.report(0, heartbeat(draining=True, load=pb.Load(in_flight=2, kv_cache_permille=1001)))
    assert (scene.health(0), state()) == ("draining", ("draining", "by its owner: 2 running"))
    scene.report(0, heartbeat(draining=True, load=pb.Load(kv_cache_permille=1001)))
    assert (scene.health(0), state()) == ("draining", ("drained", "by its owner"))
    owner_only = pb.AVAILABILITY_OWNER_ONLY
    scene.report(0, heartbeat(availability=owner_only, availability_reason="maintenance"))
    assert (scene.health(0), state()) == ("healthy", ("owner-only", "maintenance"))
    assert scene.health(0, "nodes/m") is None
    scene.report(0, heartbeat(availability=pb.AVAILABILITY_CLOSED, availability_reason="outside 22:00-06:00"))
    assert (scene.pools, state()) == ({}, ("closed", "outside 22:00-06:00"))
    scene.report(0, heartbeat(availability=pb.AVAILABILITY_OPEN))
    assert scene.health(0, "nodes/m") == "healthy"
    scene.report(0, heartbeat(offers_complete=True))
    assert (scene.pools, state()) == ({}, ("unhealthy", "it offers no model"))


def test_what_operators_decide() -> None:
    pending = node(approved=False)
    scene = Scene(pending)
    scene.report(0, first())
    assert scene.pools == {}
    assert scene.live.describe(node_id(0)).state == "pending"  # type: ignore[union-attr]
    scene.change(pending, approved=True)
    assert scene.health(0) == "healthy"
    scene.change(pending, approved=True, drained=True)
    assert scene.health(0) == "draining"
    assert scene.live.describe(node_id(0)).state == "draining"  # type: ignore[union-attr]
    scene.report(0, heartbeat())
    assert scene.live.describe(node_id(0)).state == "draining"  # type: ignore[union-attr]
    scene.report(0, heartbeat())
    assert scene.live.describe(node_id(0)).state == "drained"  # type: ignore[union-attr]
    scene.wait(6.0)
    assert scene.health(0) == "unhealthy"
    assert scene.live.describe(node_id(0)).state == "drained"  # type: ignore[union-attr]
    scene.report(0, heartbeat())
    scene.change(pending, approved=True, visibility=Visibility.COMMUNITY)
    assert set(scene.pools) == {"nodes/m", ALL}
    assert scene.desire() == [node_id(0)]
    assert scene.pools == {}
    scene.live.forget(node_id(0), scene.clock.now)
    assert scene.live.describe(node_id(0)) is None
    assert scene.live.saved(node_id(0)) is None


def test_offers_come_and_go_one_by_one() -> None:
    scene = Scene(node(), models=("m", "n"))
    scene.report(0, first(offer("m"), offer("n")))
    m = only(scene)
    scene.report(0, heartbeat(offers=[offer("n", input_price=3)]))
    assert only(scene) is m
    assert only(scene, "nodes/n@org_a").endpoints[0].input_price == 3
    scene.report(0, heartbeat(offers=[offer("m")], offers_complete=True))
    assert set(scene.pools) == {ALL}
    with pytest.raises(InvalidFieldError, match="offers: 513 with the earlier ones; accepted: at most 512"):
        scene.report(0, heartbeat(offers=[offer(f"x-{number}") for number in range(512)]))
    assert [each.model for each in scene.live.describe(node_id(0)).offers] == ["m"]  # type: ignore[union-attr]


def test_of_one_model_at_two_local_servers_the_one_that_answers_counts() -> None:
    scene = Scene(node())
    scene.report(0, first(offer(healthy=False, server="vllm"), offer(server="ollama")))
    assert scene.health(0) == "healthy"


def test_models_that_no_route_names_make_no_pools() -> None:
    scene = Scene(node())
    scene.report(0, first(offer("m"), *(offer(f"x-{number}") for number in range(500))))
    assert set(scene.pools) == {ALL}
    scene.models = ("x-1",)
    scene.desire(node())
    assert set(scene.pools) == {"nodes/x-1@org_a"}


def test_weights_change_once_a_second_and_health_at_once() -> None:
    scene = Scene(node(0), node(1))
    scene.report(0, first())
    scene.report(1, first())

    def weights() -> list[int]:
        return [each.weight for each in only(scene).endpoints]

    def load(number: int, running: int) -> None:
        scene.report(
            number, heartbeat(load=pb.Load(concurrency_limit=8, in_flight=running, kv_cache_permille=1001))
        )

    scene.clock.move(1.0)
    load(0, 4)
    assert weights() == [40, 80]
    pushes = 0
    for _ in range(9):
        scene.clock.move(0.1)
        load(0, 7)
        load(1, 4)
        load(0, 0)
        pushes += len(scene.take())
    assert (weights(), pushes) == ([40, 80], 0)
    scene.clock.move(0.1)
    scene.take()
    assert weights() == [80, 40]
    load(0, 7)
    scene.report(1, heartbeat(draining=True))
    assert [each.health for each in only(scene).endpoints] == ["healthy", "draining"]


def test_a_direct_address_is_one_nodes_alone() -> None:
    scene = Scene(node(0), node(1, "org_b", visibility=Visibility.COMMUNITY))
    scene.report(0, first(direct="10.0.0.5:8443"))
    assert only(scene).endpoints[0].direct == ("10.0.0.5", 8443)
    with pytest.raises(
        InvalidFieldError, match=r"facts.direct_address: 10.0.0.5:8443 is the address of another node"
    ):
        scene.report(1, first(direct="10.0.0.5:8443"))
    assert scene.live.describe(node_id(1)) is None
    scene.wait(6.0)
    scene.report(1, first(direct="10.0.0.5:8443"))
    assert scene.health(0) is None
    assert scene.health(1, "nodes/m") == "healthy"
    with pytest.raises(InvalidFieldError, match="the address of another node"):
        scene.report(0, first(direct="10.0.0.5:8443"))
    scene.report(0, first(direct="10.0.0.6:8443"))
    assert scene.health(0) == "healthy"


def test_a_refused_direct_address_is_shown_and_reaches_no_pool() -> None:
    scene = Scene(node(0))
    with pytest.raises(InvalidFieldError, match=r"facts.direct_address: 127.0.0.1:8443 is loopback") as refusal:
        scene.report(0, first(direct="127.0.0.1:8443"))
    assert scene.live.describe(node_id(0)) is None
    scene.live.refuse(node_id(0), str(refusal.value))
    shown = scene.live.describe(node_id(0))
    assert shown is not None
    assert (shown.state, shown.state_reason) == ("refused", str(refusal.value))
    assert scene.pools == {}
    scene.report(0, first(direct="10.0.0.5:8443"))
    assert scene.live.describe(node_id(0)).state == "online"  # type: ignore[union-attr]
    scene.live.refuse(node_id(0), "x" * 10_000)
    assert len(scene.live.describe(node_id(0)).state_reason) == 500  # type: ignore[union-attr]
    scene.desire()
    scene.live.forget(node_id(0), scene.clock.now)
    assert scene.live.describe(node_id(0)) is None


def test_an_address_that_was_allowed_before_a_restart_is_refused_after_it() -> None:
    allowed = DirectAddresses([ipaddress.ip_network("127.0.0.0/8")])
    before, after = LiveNodes(addresses=allowed), Scene(node(0))
    before.report(node_id(0), first(direct="127.0.0.1:8443"), after.clock.now)
    saved = before.saved(node_id(0))
    assert saved is not None
    after.live.restore(node_id(0), saved, 5.0, after.clock.now, departed=False)
    after.take()
    assert after.pools == {}
    assert "is loopback" in after.live.describe(node_id(0)).state_reason  # type: ignore[union-attr]


def test_a_restart_empties_no_pool() -> None:
    before = Scene(node(0), node(1), node(2))
    for number in range(3):
        before.report(number, first(offer(input_price=number), direct=f"10.0.0.{number + 1}:1"))
    after = Scene()
    for number in range(3):
        saved = before.live.saved(node_id(number))
        assert saved is not None
        after.live.restore(node_id(number), saved, 5.0, after.clock.now, departed=number == 2)
    after.desire(node(0), node(1), node(2))
    assert only(after).endpoints == only(before).endpoints[:2]
    assert after.live.describe(node_id(2)).state == "offline"  # type: ignore[union-attr]
    assert after.live.describe(node_id(0)).last_seen == 5  # type: ignore[union-attr]
    after.report(0, first(offer(input_price=0), direct="10.0.0.1:1"))
    after.wait(6.0, 0)
    assert (after.health(0), after.health(1)) == ("healthy", "unhealthy")


def test_reports_after_a_restart_that_say_nothing_new_are_not_saved_again() -> None:
    before, after = Scene(node()), Scene(node())
    before.report(0, first())
    saved = before.live.saved(node_id(0))
    assert saved is not None
    after.live.restore(node_id(0), saved, 5.0, after.clock.now, departed=False)
    after.take()
    assert not after.report(0, first(load=pb.Load(in_flight=3)))
    assert after.report(0, first(offer(healthy=False)))
