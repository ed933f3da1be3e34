"""The background work of a control plane sets no timer while there is nothing to do, and wakes when there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests.waiting import timers, until
from tests.xds_server.test_clients import Client
from tests.xds_server.test_ranker import ROUTE, Published
from xds_server import expected_clients, ranker as ranker_module
from xds_server.clients import ClientRegistry
from xds_server.errors import DatabaseUnavailableError
from xds_server.expected_clients import RunningClients
from xds_server.model import DesiredState, Gateway, Node, Route
from xds_server.nodes import registry as registry_module
from xds_server.nodes.live import LiveNodes
from xds_server.nodes.registry import NodeRegistry
from xds_server.ranker import Ranker
from xds_server.requests.attending import Translators
from xds_server.requests.sharing import service as sharing_module
from xds_server.requests.sharing.service import QuotaSharing
from xds_server.routing.tiers import NO_RANKINGS, Rankings
from xds_server.store import AsyncStore
from xds_server.tokens.issuer_keys import IssuerKeys
from xds_server.troubles import Troubles

#: Seconds of a timer that must not end while a test counts the timers, however long a busy machine takes.
_LONG = 600.0


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    yield
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_the_file_of_clients_is_looked_at_when_one_comes_or_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_clients, "_ROUND", 0)
    registry, path = ClientRegistry(), tmp_path / "clients.json"
    async with running(RunningClients(path, registry).run()):
        assert await timers() == 0
        client = Client(registry, "edge")
        await until(lambda: path.exists() and "edge" in path.read_text())
        assert await timers() == 0
        registry.disconnected(client.stream)
        await until(lambda: "edge" not in path.read_text())


async def test_clients_that_do_not_return_are_no_longer_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_clients, "_ROUND", 0)
    registry, path = ClientRegistry(return_seconds=0.2), tmp_path / "clients.json"
    path.write_text('{"edge": []}')
    clients = RunningClients(path, registry)
    clients.restore()
    async with running(clients.run()):
        await until(lambda: "edge" not in path.read_text())
        assert await timers() == 0


class CountedRanker(Ranker):
    """A ranker without a database, which counts its rankings."""

    def __init__(self) -> None:
        self.rankings = 0
        self._published = NO_RANKINGS
        self._clock = lambda: 0.5
        self._state_changed = asyncio.Event()

    async def _rank(self, routes: Collection[Route]) -> Rankings:
        self.rankings += 1
        return NO_RANKINGS


async def test_nothing_is_ranked_without_a_route_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker_module, "_INTERVAL", _LONG)
    ranker, published = CountedRanker(), Published()
    async with running(ranker.run(published)):
        assert (await timers(), ranker.rankings) == (0, 0)
        published.become(ROUTE)
        ranker.state_changed()
        assert (await timers(), ranker.rankings) == (1, 1)


class Publisher:
    """A control plane without issuers."""

    def __init__(self) -> None:
        self.asked = 0

    def gateway(self) -> Gateway:
        self.asked += 1
        return Gateway()

    async def state_changed(self, revision: int) -> None:
        raise AssertionError(revision)


async def test_no_keys_are_read_without_an_issuer() -> None:
    publisher = Publisher()
    keys = IssuerKeys(cast("AsyncStore", None), publisher, Troubles())
    async with running(keys.run()):
        assert await timers() == 0
        asked = publisher.asked
        keys.state_changed()
        assert await timers() == 0
        assert publisher.asked > asked


class States:
    """A store whose state never changes."""

    def __init__(self) -> None:
        self.loaded = 0
        self.fails = False

    async def load(self) -> DesiredState:
        self.loaded += 1
        if self.fails:
            raise DatabaseUnavailableError("gone")
        return DesiredState(1)

    async def read(self, work: object) -> dict[str, object]:
        return {}


@pytest.fixture
def long_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing_module, "_INTERVAL", _LONG)
    monkeypatch.setattr(sharing_module, "_IDLE_INTERVAL", _LONG)


@pytest.mark.usefixtures("long_rounds")
async def test_no_quota_is_shared_until_one_is_configured_or_a_gateway_joins() -> None:
    states, translators = States(), Translators()
    sharing = QuotaSharing(cast("AsyncStore", states), translators, cast("Any", None), replicas=False)
    async with running(sharing.run()):
        assert (await timers(), states.loaded) == (0, 1)
        sharing.state_changed()
        assert (await timers(), states.loaded) == (0, 2)
        call = translators.joined("translator-local", "gateway")
        assert (await timers(), states.loaded) == (0, 3)
        translators.left(call)
        assert (await timers(), states.loaded) == (0, 4)
        states.fails = True
        sharing.state_changed()
        # It tries again by itself.
        assert (await timers(), states.loaded) == (1, 5)


@pytest.mark.usefixtures("long_rounds")
async def test_other_replicas_are_looked_at_all_the_time() -> None:
    states = States()
    sharing = QuotaSharing(cast("AsyncStore", states), Translators(), cast("Any", None), replicas=True)
    async with running(sharing.run()):
        assert (await timers(), states.loaded) == (1, 1)


async def test_no_lease_is_looked_at_without_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_TICK", _LONG)
    registry = NodeRegistry(LiveNodes(), cast("Any", None), cast("Any", None), tunnels=0)
    async with running(registry.run()):
        resting = await timers()
        registry.open(Node("nd_a", "a", "org_a"), 1)
        assert await timers() == resting + 1
