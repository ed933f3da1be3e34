"""A machine that fails while others of its pool serve is ejected, and a running Envoy continues."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.node import Node
from tests.integration.nodes.edge import WORKERS, Edge, through_tunnel
from xds_server.model import NodesTarget, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

REQUESTS = 60


@pytest.mark.parametrize("status", [500, 503, 401, 204])
async def test_a_machine_that_fails_where_another_serves_is_ejected(
    edge: Edge, model: str, node_id: Callable[[], str], status: int
) -> None:
    names = node_id(), node_id()
    async with (
        Node(names[0], edge.node_tls(names[0]), status=status) as broken,
        Node(names[1], edge.node_tls(names[1])) as good,
    ):
        for node in (broken, good):
            await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
        await edge.fill(through_tunnel(model, *names))
        assert set(await edge.targets("k1", model, REQUESTS)) == {f"nodes/{model}"}
        assert len(good.seen) == REQUESTS
        assert len(broken.seen) >= 3
        passed = 0
        while passed < REQUESTS:
            before, asked = await edge.ejections(model), len(broken.seen)
            await edge.targets("k1", model, 1)
            # Between two ejections, some seconds later each time, it is tried again.
            if await edge.ejections(model) == before and before[0]:
                assert len(broken.seen) == asked, "the machine was used while it was ejected"
                passed += 1


async def test_a_request_that_fails_on_every_machine_ejects_none(
    edge: Edge, model: str, node_id: Callable[[], str]
) -> None:
    names = node_id(), node_id()
    async with (
        Node(names[0], edge.node_tls(names[0]), status=500) as one,
        Node(names[1], edge.node_tls(names[1]), status=500) as two,
    ):
        for node in (one, two):
            await node.open_tunnels(edge.tunnel, WORKERS)
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)))
        await edge.fill(through_tunnel(model, *names))
        for _ in range(12):
            assert (await edge.ask("k1", model)).status == 500
        assert (len(one.seen), len(two.seen)) == (12, 12), "each was tried once by each request"
        one.status = two.status = 200
        await edge.targets("k1", model)
