"""Fixtures: one edge and one provider for all tests of a module; each test has nodes, models and routes of its
own.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count

import pytest
import pytest_asyncio

from tests.fakes.node import Node
from tests.fakes.provider_process import ProviderProcess
from tests.integration.nodes.edge import WORKERS, Edge, key
from xds_server.model import Provider

_NUMBERS = count()


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess("a", api_keys=["sk-provider-a"]) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(tmp_path_factory: pytest.TempPathFactory, provider: ProviderProcess) -> AsyncIterator[Edge]:
    keys = {each.id: each for each in (key("k1", "org_1"), key("k2", "org_2"))}
    async with Edge(tmp_path_factory.mktemp("e"), keys) as running:
        await running.publish(providers={"a": Provider("a", provider.base_url, credentials=("sk-provider-a",))})
        yield running


@pytest.fixture
def model() -> str:
    """The name of a model that no other test has."""
    return f"model-{next(_NUMBERS)}"


@pytest.fixture
def node_id() -> Callable[[], str]:
    """Returns node ids that no other test has."""
    return lambda: f"nd-{b32encode(next(_NUMBERS).to_bytes(10)).decode().lower()}"


@pytest_asyncio.fixture(loop_scope="module")
async def nodes(edge: Edge, node_id: Callable[[], str]) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes with open tunnels."""
    async with AsyncExitStack() as stack:
        names = node_id(), node_id()
        one, other = [await stack.enter_async_context(Node(name, edge.node_tls(name))) for name in names]
        for node in (one, other):
            await node.open_tunnels(edge.tunnel, WORKERS)
        yield one, other
