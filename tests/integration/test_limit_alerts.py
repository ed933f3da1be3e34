"""The counts of translators' limits at the control plane, and each alert once."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
import structlog
from trunkline_proto.limits.v1 import limits_pb2 as pb, limits_pb2_grpc
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.xds_server.store.databases import new_sqlite
from translator.limits import HolderLimit, Limiter, Metric, Reservation
from translator.reporting import LimitReporter
from xds_server.alerts import service, table
from xds_server.alerts.limit_counts import LimitCounts
from xds_server.alerts.sender import AlertSender
from xds_server.alerts.webhook import Webhook
from xds_server.ledger.ledger import Ledger
from xds_server.rpc.authorise import anyone
from xds_server.store import AsyncStore, Store

NOW = 1_800_000_000.0
BUDGET = HolderLimit(
    Metric.COST_USD, "month@Europe/Berlin", 10**9, "organisation", "org_1", "acme", alerts=(500, 1000)
)
EACH = HolderLimit(Metric.TOKENS, "3600", 100, "key", "key_1", "ci", "llama3:70b", "user", alerts=(800,))
LIMITS = [BUDGET, EACH]


class Plane:
    """The part of a control plane that takes reports. `standings` is empty again after `restart`."""

    def __init__(self, directory: Path) -> None:
        self._store = Store.open(new_sqlite(directory / "t.db"), key_file=directory / "secret.key")
        self.ledger = Ledger(self._store.url, self._store.write_lock)
        self.sender = AlertSender(self.ledger, AsyncStore(self._store), Webhook(""))
        self._directory = directory
        self._starts = itertools.count()
        self.standings = LimitCounts()

    async def start(self) -> None:
        # A separate socket, because gRPC unlinks the previous one at some time after its end.
        self.address = f"unix:{self._directory}/s{next(self._starts)}"
        self.server = grpc.aio.server()
        service.serve(self.server, self.standings, self.sender, anyone)
        self.server.add_insecure_port(self.address)
        await self.server.start()

    async def restart(self) -> None:
        await self.server.stop(None)
        self.standings = LimitCounts()
        await self.start()

    async def alerts(self) -> list[pb.Alert]:
        return [each.alert for each in await self.ledger.write(lambda writing: table.current(writing, 0, 100))]

    async def close(self) -> None:
        await self.server.stop(None)
        self.ledger.close()
        self._store.close()


class Edge:
    """A translator's limits, and the part that reports them."""

    def __init__(self, name: str) -> None:
        self.limiter = Limiter(lambda *_: LIMITS)
        self.reporter = LimitReporter(self.limiter, name, "", structlog.get_logger(), lambda: NOW)
        self._asked = 0

    def use(self, user: str, *, tokens: int = 0, cost: int = 0) -> None:
        self._asked += 1
        limits = self.limiter.applied(LIMITS, "org_1", user, "", NOW).limits
        ids = tuple(each.id for each in limits)
        name = f"r{self._asked}"
        held = Reservation(name, NOW, "org_1", "key_1", "rt", "m", 0, 0, 0, False, user, "", ids)
        self.limiter.watch(limits, self.limiter.reserve(held, limits))
        self.limiter.settle(name, tokens, cost)

    async def report(self, address: str) -> bool:
        # This holds whenever the last look and the last call were.
        self.reporter._counted = self.reporter._called = 0.0
        async with grpc.aio.insecure_channel(address) as channel:
            return await self.reporter.report(limits_pb2_grpc.LimitsStub(channel))


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    made = Plane(tmp_path)
    await made.start()
    yield made
    await made.close()


def message(limit: HolderLimit) -> policy.Limit:
    if limit.metric is Metric.COST_USD:
        return policy.Limit(
            metric=policy.METRIC_COST_USD,
            calendar=policy.CALENDAR_MONTH,
            time_zone="Europe/Berlin",
            amount=10**6,
            alerts_permille=[500],
        )
    return policy.Limit(
        metric=policy.METRIC_TOKENS, per_seconds=3_600, model="llama3:70b", each=policy.EACH_USER, amount=100
    )


async def test_the_same_alert_of_two_translators_is_one(plane: Plane) -> None:
    edges = [Edge("a"), Edge("b")]
    for edge in edges:
        edge.use("alice", cost=600_000_000)
        assert await edge.report(plane.address)
        assert not edge.limiter.alerts.pending
    (alert,) = await plane.alerts()
    assert (alert.holder, alert.holder_id, alert.share_permille) == (pb.HOLDER_ORGANISATION, "org_1", 500)
    assert (alert.taken, alert.limit.amount) == (600_000, 1_000_000)
    assert alert.limit.time_zone == "Europe/Berlin"
    assert plane.sender.counts == {"new": 1, "known": 1, "sent": 0, "retried": 0, "failed": 0}


async def test_each_user_is_an_alert_and_the_fullest_is_shown(plane: Plane) -> None:
    edge = Edge("a")
    edge.use("alice", tokens=90)
    edge.use("bob", tokens=85)
    edge.use("carol", tokens=1)
    assert await edge.report(plane.address)
    assert sorted(each.value for each in await plane.alerts()) == ["alice", "bob"]
    assert plane.standings.of(pb.HOLDER_KEY, "key_1", message(EACH)) == (90, 3)


async def test_what_is_counted_is_known_again_after_a_restart(plane: Plane) -> None:
    edges = [Edge("a"), Edge("b")]
    edges[0].use("alice", cost=100_000_001)
    edges[1].use("alice", cost=200_000_000)
    for edge in edges:
        assert await edge.report(plane.address)
    assert plane.standings.of(pb.HOLDER_ORGANISATION, "org_1", message(BUDGET)) == (200_000, 0)
    await plane.restart()
    for edge in edges:
        assert await edge.report(plane.address)  # another epoch
        assert await edge.report(plane.address)
    assert plane.standings.of(pb.HOLDER_ORGANISATION, "org_1", message(BUDGET)) == (200_000, 0)
    assert plane.standings.of(pb.HOLDER_ORGANISATION, "org_2", message(BUDGET)) is None


async def test_alerts_wait_while_the_control_plane_is_away(plane: Plane) -> None:
    edge = Edge("a")
    edge.use("alice", cost=600_000_000)
    await plane.server.stop(None)
    assert not await edge.report(plane.address)
    assert len(edge.limiter.alerts.pending) == 1
    await plane.start()
    assert await edge.report(plane.address)
    assert len(await plane.alerts()) == 1


async def test_too_much_at_once_is_refused(plane: Plane) -> None:
    async with grpc.aio.insecure_channel(plane.address) as channel:
        stub = limits_pb2_grpc.LimitsStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Report(pb.ReportRequest(source="a", standings=[pb.Standing()] * 1_001))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Report(pb.ReportRequest())
        assert "source" in (refused.value.details() or "")


def test_a_silent_translator_does_not_count() -> None:
    now = 0.0
    standings = LimitCounts(lambda: now)
    of = pb.Standing(holder=pb.HOLDER_KEY, holder_id="key_1", limit=message(EACH), taken=5)
    epoch = standings.report("a", [of])
    assert standings.report("a", []) == epoch
    now = 61.0
    assert standings.of(pb.HOLDER_KEY, "key_1", message(EACH)) is None
    assert standings.report("a", []) != epoch
