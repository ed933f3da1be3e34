"""From states and live pools to snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from xds_server.control_plane import ControlPlane
from xds_server.model import DesiredState, Route
from xds_server.pool import Pool, PoolEndpoint
from xds_server.protocol.snapshot import ResourceSnapshot
from xds_server.routing.tiers import NO_RANKINGS, Rankings
from xds_server.troubles import Troubles


class Source:
    def __init__(self) -> None:
        self.state = DesiredState(1)

    async def load(self) -> DesiredState:
        return self.state


class Builder:
    """Records the input of each snapshot."""

    expires_in = None

    def __init__(self) -> None:
        self.built: list[tuple[int, set[str]]] = []

    def build(
        self, revision: int, state: DesiredState, live: Mapping[str, Pool], rankings: Rankings = NO_RANKINGS
    ) -> ResourceSnapshot:
        self.built.append((revision, set(live)))
        return ResourceSnapshot(revision)


class Sink:
    def __init__(self) -> None:
        self.published: asyncio.Queue[ResourceSnapshot] = asyncio.Queue()

    def publish(self, snapshot: ResourceSnapshot) -> None:
        self.published.put_nowait(snapshot)


def pool(model: str, *nodes: str) -> Pool:
    return Pool(model, tuple(PoolEndpoint(node) for node in nodes))


async def test_a_snapshot_has_the_pools_of_its_own_state() -> None:
    source, builder, sink = Source(), Builder(), Sink()
    control_plane = ControlPlane(source, builder)  # type: ignore[arg-type]
    asked: list[int] = []

    def live(state: DesiredState) -> Mapping[str, Pool]:
        asked.append(state.revision)
        one, other = pool("m", "a"), pool("n", "a") if state.revision == 1 else pool("n")
        return {one.name: one, other.name: other}

    control_plane.follow(live)
    await control_plane.snapshot()
    running = asyncio.create_task(control_plane.run(sink))
    changed = pool("x", "b")
    control_plane.pools_changed({changed.name: changed})
    await asyncio.wait_for(sink.published.get(), 60)
    source.state = DesiredState(2)
    await control_plane.state_changed(2)
    await asyncio.wait_for(sink.published.get(), 60)
    assert builder.built == [
        (1, {"nodes/m", "nodes/n"}),
        (1, {"nodes/m", "nodes/n", "nodes/x"}),
        (2, {"nodes/m", "nodes/x"}),
    ]
    assert asked == [1, 2]
    running.cancel()


class PickyBuilder(Builder):
    """Fails for a route of the model `broken`."""

    def build(
        self, revision: int, state: DesiredState, live: Mapping[str, Pool], rankings: Rankings = NO_RANKINGS
    ) -> ResourceSnapshot:
        if any(route.model == "broken" for route in state.routes.values()):
            raise ValueError("cannot encode this")
        self.states.append(state)
        return super().build(revision, state, live)

    def __init__(self) -> None:
        super().__init__()
        self.states: list[DesiredState] = []


async def test_an_object_that_cannot_be_built_is_named_and_keeps_nobody_waiting() -> None:
    source, builder, sink, troubles = Source(), PickyBuilder(), Sink(), Troubles()
    control_plane = ControlPlane(source, builder, troubles)  # type: ignore[arg-type]
    await control_plane.snapshot()
    running = asyncio.create_task(control_plane.run(sink))
    fine, broken = Route("rt_fine", "fine", ()), Route("rt_broken", "broken", ())
    source.state = DesiredState(2, routes={"rt_fine": fine, "rt_broken": broken})
    await control_plane.state_changed(2)
    published = await asyncio.wait_for(sink.published.get(), 60)
    assert published.revision == 2
    assert set(builder.states[-1].routes) == {"rt_fine"}
    assert [text.partition(" (")[0] for text in troubles.reasons] == ['route "broken" cannot be built']
    changed = pool("x", "b")
    control_plane.pools_changed({changed.name: changed})
    await asyncio.wait_for(sink.published.get(), 60)
    source.state = DesiredState(3, routes={"rt_fine": fine})
    await control_plane.state_changed(3)
    await asyncio.wait_for(sink.published.get(), 60)
    assert troubles.reasons == ()
    running.cancel()


@pytest.mark.slow
async def test_a_state_that_cannot_be_read_leaves_what_is_published() -> None:
    source, sink, troubles = Source(), Sink(), Troubles()
    control_plane = ControlPlane(source, Builder(), troubles)  # type: ignore[arg-type]
    await control_plane.snapshot()
    running = asyncio.create_task(control_plane.run(sink))
    read = source.load

    async def unreadable() -> DesiredState:
        raise ValueError("a block of another shape")

    source.load = unreadable  # type: ignore[method-assign]
    await control_plane.state_changed(2)
    while not troubles.reasons:
        await asyncio.sleep(0)
    assert "a block of another shape" in troubles.reasons[0]
    source.load, source.state = read, DesiredState(3)  # type: ignore[method-assign]
    await control_plane.state_changed(3)
    assert (await asyncio.wait_for(sink.published.get(), 60)).revision == 3
    assert not running.done()
    running.cancel()
