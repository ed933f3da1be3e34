"""From states and live pools to snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from xds_server.control_plane import ControlPlane
from xds_server.model import Endpoint, Pool, State
from xds_server.protocol.snapshot import Snapshot


class Source:
    def __init__(self) -> None:
        self.state = State(1)

    async def load(self) -> State:
        return self.state


class Builder:
    """Notes what each snapshot was built of."""

    expires_in = None

    def __init__(self) -> None:
        self.built: list[tuple[int, set[str]]] = []

    def build(self, revision: int, state: State, live: Mapping[str, Pool]) -> Snapshot:
        self.built.append((revision, set(live)))
        return Snapshot(revision)


class Sink:
    def __init__(self) -> None:
        self.published: asyncio.Queue[Snapshot] = asyncio.Queue()

    def publish(self, snapshot: Snapshot) -> None:
        self.published.put_nowait(snapshot)


def pool(model: str, *nodes: str) -> Pool:
    return Pool(model, tuple(Endpoint(node) for node in nodes))


async def test_a_snapshot_has_the_pools_of_its_own_state() -> None:
    source, builder, sink = Source(), Builder(), Sink()
    control_plane = ControlPlane(source, builder)  # type: ignore[arg-type]
    asked: list[int] = []

    def live(state: State) -> Mapping[str, Pool]:
        asked.append(state.revision)
        one, other = pool("m", "a"), pool("n", "a") if state.revision == 1 else pool("n")
        return {one.name: one, other.name: other}

    control_plane.follow(live)
    await control_plane.snapshot()
    running = asyncio.create_task(control_plane.run(sink))
    changed = pool("x", "b")
    control_plane.pools_changed({changed.name: changed})
    await asyncio.wait_for(sink.published.get(), 30)
    source.state = State(2)
    await control_plane.state_changed(2)
    await asyncio.wait_for(sink.published.get(), 30)
    assert builder.built == [
        (1, {"nodes/m", "nodes/n"}),
        (1, {"nodes/m", "nodes/n", "nodes/x"}),
        (2, {"nodes/m", "nodes/x"}),
    ]
    assert asked == [1, 2]
    running.cancel()
