"""Fixtures: a gateway whose routes lead to nodes, llama.cpp's server, and a way to run nodes for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.gateway.nodes.node_process import NodeProcess
from tests.gateway.process import GatewayProcess
from tests.node_sidecar.llama import llama, tiny_model

__all__ = ["llama", "tiny_model"]


class Joins(Protocol):
    def __call__(self, *upstreams: str, name: str = ..., **how: object) -> NodeProcess: ...


@pytest.fixture
def joins(gateway: GatewayProcess, tmp_path: Path) -> Iterator[Joins]:
    """Creates nodes of `gateway` with the options of NodeProcess; kills and removes them at the end
    of the test.
    """
    made: list[NodeProcess] = []

    def join(*upstreams: str, name: str = "rig", **how: object) -> NodeProcess:
        node = NodeProcess(gateway, tmp_path / name, *upstreams, name=name, **how)  # type: ignore[arg-type]
        made.append(node)
        return node.join()

    yield join
    for node in made:
        node.kill()
        if node.described():
            gateway.run("nodes", "remove", node.node_id)
