"""Who may use which node, from the key that a client sends to the tunnel that the request takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.fakes.node import Node
from tests.integration.nodes.edge import WORKERS, Edge, through_tunnel
from xds_server.model import Node as Known, NodesTarget, Privacy, ProviderTarget, Route
from xds_server.pool import Pool, PoolEndpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")
NodeId = Callable[[], str]


@asynccontextmanager
async def joined(edge: Edge, *names: str) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(name, edge.node_tls(name))) for name in names]
        for node in nodes:
            await node.open_tunnels(edge.tunnel, WORKERS)
        yield nodes


async def test_everybody_gets_their_own_shape_of_a_route(edge: Edge, model: str, node_id: NodeId) -> None:
    mine, common = node_id(), node_id()
    async with joined(edge, mine, common) as (own, community):
        await edge.publish(
            Route(f"rt_{model}", model, (NodesTarget(model),)), nodes={mine: Known(mine, "mine", "org_1")}
        )
        owned = (PoolEndpoint(mine, own=True, input_price=5, output_price=7),)
        await edge.fill(through_tunnel(model, common), Pool(model, owned, "org_1"))
        await edge.targets("k1", model)
        assert (len(own.seen), len(community.seen)) == (12, 0)
        assert own.seen[0].headers["x-trunkline-own"] == "1"
        line = await edge.logged("k1", model)
        assert line.reservation is not None
        assert line.reservation.route == f"rt_{model}"  # the same route for every caller
        assert (line.target, line.node) == (f"nodes/{model}", f"{mine} 5 7")
        own.seen.clear()
        await edge.targets("k2", model)
        assert (len(own.seen), len(community.seen)) == (0, 12)
        assert "x-trunkline-own" not in community.seen[-1].headers
        await own.close()
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        assert len(community.seen) == 24


async def test_a_route_with_privacy_never_leaves_its_owners_machines(
    edge: Edge, model: str, node_id: NodeId
) -> None:
    mine, common = node_id(), node_id()
    targets = (ProviderTarget("a", model), NodesTarget(model, tier=1))
    async with joined(edge, mine, common) as (own, community):
        await edge.publish(
            Route(f"rt_{model}", model, targets, privacy=Privacy.OWN_NODES),
            nodes={mine: Known(mine, "mine", "org_1")},
        )
        await edge.fill(
            through_tunnel(model, common),
            through_tunnel(model, mine, audience="org_1", own=True),
        )
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        refused = await edge.ask("k2", model)
        assert refused.status == 503
        assert b'"no_own_nodes"' in refused.body
        own.status = 500
        assert (await edge.ask("k1", model)).status == 500
        await own.close()
        assert (await edge.ask("k1", model)).status == 503
        assert not community.seen


async def test_a_request_for_an_audience_that_envoy_does_not_know_takes_everybodys_shape(
    edge: Edge, model: str, node_id: NodeId
) -> None:
    """The translator learns of a new audience by a stream of its own."""
    mine, common = node_id(), node_id()
    async with joined(edge, common):
        await edge.publish(Route(f"rt_{model}", model, (NodesTarget(model),)), nodes={})
        await edge.fill(through_tunnel(model, common))
        before = edge.snapshot()
        await edge.publish(nodes={mine: Known(mine, "mine", "org_1")})
        await edge.forget_routes_of(before)
        assert set(await edge.targets("k1", model)) == {f"nodes/{model}"}
        assert (await edge.ask("k1", model, stream=True)).body.endswith(b"[DONE]\n\n")
