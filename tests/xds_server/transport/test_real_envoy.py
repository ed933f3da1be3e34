"""A real Envoy as the client, over delta and state-of-the-world ADS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.waiting import until_answered
from tests.xds_server.transport.real_envoy import (
    ControlPlane,
    Envoy,
    cluster,
    endpoints,
    listener,
    route,
    snapshot,
)
from xds_server.protocol.snapshot import CLUSTER, ENDPOINT, LISTENER, ROUTE, ResourceSnapshot

StartControl = Callable[[ResourceSnapshot], Awaitable[ControlPlane]]
StartEnvoy = Callable[[str], Awaitable[Envoy]]

FIRST = snapshot(1, cluster("x"), endpoints("x", 1), listener("front", "r"), route("r", "one"))


@pytest.fixture(params=["delta", "sotw"])
def mode(request: pytest.FixtureRequest) -> str:
    mode: str = request.param
    return mode


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[StartControl]:
    started: list[ControlPlane] = []

    async def start(content: ResourceSnapshot) -> ControlPlane:
        started.append(await ControlPlane(tmp_path / "xds.sock", content).start())
        return started[-1]

    yield start
    for each in started:
        await each.stop()


@pytest.fixture
async def envoy(tmp_path: Path, mode: str) -> AsyncIterator[StartEnvoy]:
    started: list[Envoy] = []

    async def start(node: str) -> Envoy:
        started.append(await Envoy(tmp_path, node, mode, tmp_path / "xds.sock").start())
        return started[-1]

    yield start
    for each in started:
        await each.stop()


async def running(plane: ControlPlane, node: str) -> None:
    """Waits until the client requests all four types and has answered everything."""

    async def settled() -> bool:
        status = next((each for each in plane.clients.clients() if each.client_id == node), None)
        types = {each.type_url: each for each in status.types} if status and status.connected else {}
        return types.keys() >= {CLUSTER, ENDPOINT, LISTENER, ROUTE} and not any(
            each.pending for each in types.values()
        )

    await until_answered(settled)


async def test_configuration_updates_removals_and_refusals(control: StartControl, envoy: StartEnvoy) -> None:
    plane = await control(FIRST)
    edge = await envoy("edge")
    assert await edge.get("front") == "one"
    await running(plane, "edge")

    content = [cluster("x", timeout="2s"), cluster("y"), endpoints("x", 1), endpoints("y", 2)]
    plane.ads.publish(snapshot(2, *content, listener("front", "r"), route("r", "two")))
    propagation = await plane.clients.wait_settled(2, 60)
    assert (propagation.complete, propagation.accepted, propagation.rejections) == (True, 1, ())
    assert await edge.get("front") == "two"
    assert "y::127.0.0.1:2::" in await edge.ask("/clusters")

    plane.ads.publish(snapshot(3, cluster("y"), endpoints("y", 3), listener("front", "r"), route("r", "two")))
    assert (await plane.clients.wait_settled(3, 60)).accepted == 1
    clusters = await edge.ask("/clusters")
    assert "x::" not in clusters
    assert "y::127.0.0.1:3::" in clusters

    bad = route("r", "three", hosts=2)
    plane.ads.publish(snapshot(4, cluster("y"), endpoints("y", 3), listener("front", "r"), bad))
    propagation = await plane.clients.wait_settled(4, 60)
    assert (propagation.complete, propagation.accepted) == (True, 0)
    (rejection,) = propagation.rejections
    assert (rejection.client_id, rejection.type_url, rejection.resource_names) == ("edge", ROUTE, ("r",))
    assert "wildcard domain" in rejection.reason
    assert plane.clients.recent_rejections() == (rejection,)
    (status,) = plane.clients.clients()
    assert {each.type_url: each.rejection for each in status.types}[ROUTE] == rejection
    assert await edge.get("front") == "two"

    good = route("r", "four")
    plane.ads.publish(snapshot(5, cluster("y"), endpoints("y", 3), listener("front", "r"), good))
    assert (await plane.clients.wait_settled(5, 60)).accepted == 1
    assert await edge.get("front") == "four"
    assert all(each.rejection is None for each in plane.clients.clients()[0].types)


async def test_a_restarted_server_pushes_nothing_needless(control: StartControl, envoy: StartEnvoy) -> None:
    plane = await control(FIRST)
    edge = await envoy("edge")
    assert await edge.get("front") == "one"
    await running(plane, "edge")
    await plane.stop()
    assert await edge.get("front") == "one"

    plane = await control(FIRST)
    await running(plane, "edge")
    assert plane.clients.counters().acks == 0
    rest = [cluster("x"), endpoints("x", 1), listener("front", "r")]
    plane.ads.publish(snapshot(2, *rest, route("r", "two")))
    assert (await plane.clients.wait_settled(2, 60)).accepted == 1
    assert {each.type_url for each in plane.clients.clients()[0].types if each.acks} == {ROUTE}
    assert await edge.get("front") == "two"


async def test_two_envoys(control: StartControl, envoy: StartEnvoy) -> None:
    plane = await control(FIRST)
    edges = [await envoy("edge-1"), await envoy("edge-2")]
    for edge in edges:
        assert await edge.get("front") == "one"
        await running(plane, edge.node)
    rest = [cluster("x"), endpoints("x", 1), listener("front", "r")]
    plane.ads.publish(snapshot(2, *rest, route("r", "two")))
    propagation = await plane.clients.wait_settled(2, 60)
    assert (propagation.complete, propagation.accepted) == (True, 2)
    for edge in edges:
        assert await edge.get("front") == "two"
    assert [each.kind for each in plane.clients.clients()] == ["envoy", "envoy"]
    assert all(each.software.startswith("envoy") for each in plane.clients.clients())
