"""A running Envoy calls the callbacks that the module needs only for nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.envoy import counting
from tests.fakes.node import Node
from tests.integration.nodes.edge import WORKERS, Edge, key, through_tunnel
from xds_server.model import NodesTarget, Route


async def test_they_are_called_where_a_node_fails_what_others_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node_id: Callable[[], str]
) -> None:
    monkeypatch.setenv("CC", str(counting.compiler()))
    async with Edge(tmp_path, {"k1": key("k1", "org_1")}) as edge:
        failing, serving = node_id(), node_id()
        async with (
            Node(failing, edge.node_tls(failing)) as bad,
            Node(serving, edge.node_tls(serving)) as good,
        ):
            for node in (bad, good):
                await node.open_tunnels(edge.tunnel, WORKERS)
            await edge.publish(Route("rt_m", "m", (NodesTarget("m"),)))
            await edge.fill(through_tunnel("m", failing, serving))
            # The module ejects a resting node only on a worker that is connected to it. Each has a tunnel.
            while {each.connection for each in bad.seen} != set(range(WORKERS)):
                assert (await edge.ask("k1", "m")).status == 200
            bad.status = 500
            while not all(counting.counts(edge.envoy_pid)[name] for name in counting.OF_NODES):
                assert (await edge.ask("k1", "m")).status == 200
        pid = edge.envoy_pid
    counting.forget(pid)
