"""The registry across a restart of the control plane, on both databases."""

from __future__ import annotations

from pathlib import Path

from tests.xds_server.nodes.reporting import first, heartbeat, node, node_id, offer, state
from tests.xds_server.nodes.serving import certificate, first_instruction, serving
from tests.xds_server.nodes.test_uptime import make_table, stored
from xds_server.ledger.ledger import Ledger
from xds_server.nodes.stored import StoredReports


async def test_a_restarted_control_plane_has_its_pools_at_once(tables: Ledger, tmp_path: Path) -> None:
    await make_table(tables)
    async with serving(tmp_path, tables) as before, before.stub() as stub:
        await before.desired.publish(node(0), node(1))
        for number in range(2):
            call = stub.Report(metadata=certificate(node_id(number)))
            await first_instruction(call)
            await call.write(first(offer(input_price=number), draining=number == 1))
            await before.desired.until(lambda number=number: before.registry.live.has_lease(node_id(number)))  # type: ignore[misc]
        before.clock.move(30.0)
        await before.registry.flush()
        desired = before.desired.state
    assert set((await stored(tables)).values()) == {30}

    async with serving(tmp_path, tables) as after:
        pools = after.registry.desired(desired)
        health = {each.node_id: (each.health, each.input_price) for each in pools["nodes/m@org_a"].endpoints}
        assert health == {node_id(0): ("healthy", 0), node_id(1): ("draining", 1)}
        described = after.registry.live.describe(node_id(0))
        assert described is not None
        assert (described.state, described.facts.sidecar_version) == ("online", "0.1.0")

        # The row of a node removed now, or while the control plane was down, is deleted.
        after.registry.desired(state([node(1)], revision=9))
        await after.registry.flush()
        assert [row.node_id for row in await StoredReports(tables, lambda _: None).load()] == [node_id(1)]


async def test_what_left_its_pools_stays_out_of_them_after_a_restart(tables: Ledger, tmp_path: Path) -> None:
    await make_table(tables)
    async with serving(tmp_path, tables) as before:
        await before.desired.publish(node(0))
        stream = before.registry.open(node(0), 2)
        await before.registry.report(stream, first())
        for _ in range(607):
            before.registry.look(before.clock.move(1.0))
        await before.registry.flush()
        desired = before.desired.state
    async with serving(tmp_path, tables) as after:
        assert after.registry.desired(desired) == {}
        stream = after.registry.open(node(0), 2)
        await after.registry.report(stream, first())
        await after.desired.until(lambda: after.desired.health(node_id(0)) == "healthy")
        await after.registry.flush()
        (row,) = await StoredReports(tables, lambda _: None).load()
        assert not row.departed


async def test_heartbeats_are_not_written(tables: Ledger, tmp_path: Path) -> None:
    await make_table(tables)
    async with serving(tmp_path, tables) as served:
        await served.desired.publish(node(0))
        stream = served.registry.open(node(0), 2)
        await served.registry.report(stream, first())
        await served.registry.flush()
        written = await StoredReports(tables, lambda _: None).load()
        served.clock.move(2.0)
        await served.registry.report(stream, heartbeat(load=first().load))
        await served.registry.flush()
        assert await StoredReports(tables, lambda _: None).load() == written


async def test_a_row_that_cannot_be_read_costs_only_itself(tables: Ledger, tmp_path: Path) -> None:
    await tables.write(
        lambda writing: writing.run("INSERT INTO node_live VALUES (?, ?, ?, ?)", node_id(0), b"\xff\xff", 1, False)
    )
    async with serving(tmp_path, tables) as served:
        assert served.registry.live.describe(node_id(0)) is None
