"""The memory that many models, and many owners of machines, cost Envoy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gateway.nodes.asking import figure
from tests.integration.nodes.edge import Edge, key, through_tunnel
from tests.waiting import until
from xds_server.model import Node, NodesTarget, Provider, ProviderTarget, Route
from xds_server.protocol.snapshot import CLUSTER
from xds_server.resources import audiences

MODELS, ORGANISATIONS = 100, 20
#: Anonymous memory of two workers in MiB; 270 to 280 were measured.
MAX = 350


@pytest.mark.timeout(600)
async def test_a_hundred_models_for_twenty_organisations_with_own_machines(tmp_path: Path) -> None:
    numbers = range(ORGANISATIONS)
    ids = [f"nd-{chr(97 + number)}aaaaaaaaaaaaaaa" for number in numbers]
    nodes = {ids[number]: Node(ids[number], f"n{number}", f"org_{number}") for number in numbers}
    async with Edge(tmp_path, {f"k{number}": key(f"k{number}", f"org_{number}") for number in numbers}) as edge:
        before = edge.envoy_mib()
        routes = [
            Route(f"rt_{model}", model, (NodesTarget(model), ProviderTarget("a", model, tier=1)))
            for model in (f"model-{number}" for number in range(MODELS))
        ]
        await edge.publish(*routes, nodes=nodes, providers={"a": Provider("a", "http://127.0.0.1:9/v1")})
        everything = audiences.pools(edge.state).values()
        own = {node.organisation_id: node.id for node in nodes.values()}
        filled = [
            through_tunnel(each.model, own[each.audience], audience=each.audience)
            for each in everything
            if each.audience
        ]
        await edge.fill(*filled)
        clusters = len(edge.snapshot().of_type(CLUSTER))
        # Envoy releases what was replaced a little later.
        after = await until(lambda: (now := edge.envoy_mib()) < MAX and now)
    figure(f"Envoy with {clusters:,} clusters and {len(everything):,} pools", after, "MiB")
    assert clusters > MODELS * ORGANISATIONS
    assert before < after
