"""From stored records to published rankings, on both databases: after a restart, and on several replicas."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import usage
from tests.xds_server.store.databases import database, key_file, ledger, open_store, store
from xds_server.ledger import slots, writing as ledger_writing
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.retention import Retention
from xds_server.ledger.retention_periods import RetentionPeriods
from xds_server.ledger.slots import after
from xds_server.model import ProviderTarget, Route, Strategy
from xds_server.prices import TargetPrice
from xds_server.ranker import Ranker
from xds_server.routing.slots import slot_of
from xds_server.routing.tiers import Rankings
from xds_server.routing.window import KEPT_SLOTS
from xds_server.store import Store
from xds_server.store.connection import DatabaseSnapshot, Row, open_reader

__all__ = ["database", "key_file", "ledger", "open_store", "store"]

#: The time, which stands still: measurements differ with their age, and a test takes an age of its own.
NOW = 2_000_000_000.5
QUICK, SLOW = "quick/m", "slow/m"
ROUTE = Route("rt_m", "m", (ProviderTarget("slow", "m"), ProviderTarget("quick", "m")), strategy=Strategy.FASTEST)


class Published:
    """A ranker's input and output."""

    def __init__(self, *routes: Route) -> None:
        self._routes = routes
        self.rankings: list[Rankings] = []

    def routes(self) -> Collection[Route]:
        return self._routes

    def become(self, *routes: Route) -> None:
        self._routes = routes

    def rankings_changed(self, rankings: Rankings) -> None:
        self.rankings.append(rankings)

    @property
    def order(self) -> list[str]:
        ranking = self.rankings[-1]["rt_m", 0]
        return [share.target_id for share in ranking.shares]


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_writing, "time", SimpleNamespace(time=lambda: NOW))


@pytest.fixture
def make_ranker(store: Store, ledger: Ledger) -> Iterator[Callable[[], Ranker]]:
    made: list[Ranker] = []

    def make() -> Ranker:
        made.append(Ranker(store.url, ledger, clock=lambda: NOW))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def append(ledger: Ledger, failed: Collection[pb.FailedAttempt] = (), **first_byte_us: int) -> None:
    records = [
        usage(
            NOW, route_id="rt_m", target_id=f"{name}/m", provider=name, stream=True, first_byte_us=each,
            duration_us=each + 1_000_000, failed_attempts=failed,
        )
        for name, each in first_byte_us.items()
        for _ in range(10)
    ]  # fmt: skip
    assert len((await ledger.append(pb.AppendRequest(source="test", records=records))).acknowledged) == len(
        records
    )


async def test_a_route_follows_its_records(ledger: Ledger, make_ranker: Callable[[], Ranker]) -> None:
    ranker, published = make_ranker(), Published(ROUTE)
    await ranker.look(published)
    assert published.rankings == []
    await append(ledger, quick=100_000, slow=2_000_000)
    await ranker.look(published)
    assert published.order == [QUICK, SLOW]
    await ranker.look(published)
    assert len(published.rankings) == 1


async def test_what_was_measured_survives_a_restart_and_is_the_same_on_a_replica(
    ledger: Ledger, make_ranker: Callable[[], Ranker]
) -> None:
    one, published = make_ranker(), Published(ROUTE)
    await append(ledger, quick=100_000, slow=2_000_000)
    await one.look(published)
    another, elsewhere = make_ranker(), Published(ROUTE)
    await another.look(elsewhere)
    assert elsewhere.rankings == published.rankings
    assert (await one.explain(ROUTE))[1] == (await another.explain(ROUTE))[1]


async def test_credentials_are_measured_alike_after_a_restart_and_on_a_replica(
    ledger: Ledger, make_ranker: Callable[[], Ranker]
) -> None:
    one, published = make_ranker(), Published(ROUTE)
    failed = [pb.FailedAttempt(target_id=QUICK, status=401, credential_index=1)]
    await append(ledger, quick=100_000)
    await append(ledger, failed, quick=100_000)
    await one.look(published)
    another = make_ranker()
    for ranker in (one, another):
        _, explained = await ranker.explain(ROUTE)
        credentials = next(each.credentials for each in explained if each.scored.target.id == QUICK)
        assert {index: (each.attempts, each.is_down) for index, each in credentials.items()} == {
            0: (20, False), 1: (10, True),
        }  # fmt: skip


async def test_a_replica_keeps_the_best_that_another_chose(
    ledger: Ledger, make_ranker: Callable[[], Ranker]
) -> None:
    """Two targets differ by less than the margin, so the best one stays the best, for all replicas."""
    one, published = make_ranker(), Published(ROUTE)
    await append(ledger, slow=100_000)
    await one.look(published)
    assert published.order[0] == SLOW
    await append(ledger, quick=97_000, slow=100_000)
    another, elsewhere = make_ranker(), Published(ROUTE)
    for ranker, where in ((one, published), (another, elsewhere)):
        await ranker.look(where)
        assert where.order[0] == SLOW


async def test_without_records_prices_decide_for_cheapest(make_ranker: Callable[[], Ranker]) -> None:
    targets = (
        ProviderTarget("dear", "m", prices=(TargetPrice(input=2, output=2),)),
        ProviderTarget("cheap", "m", prices=(TargetPrice(input=1, output=1),)),
    )
    ranker, published = make_ranker(), Published(Route("rt_m", "m", targets, strategy=Strategy.CHEAPEST))
    await ranker.look(published)
    assert published.order == ["cheap/m", "dear/m"]


async def test_a_price_to_come_counts_from_its_second_on(store: Store, ledger: Ledger) -> None:
    raised = (
        TargetPrice(input=1, output=1, version=1),
        TargetPrice(input=9, output=9, valid_from=2_000_000_000, version=2),
    )
    targets = (
        ProviderTarget("raised", "m", prices=raised),
        ProviderTarget("steady", "m", prices=(TargetPrice(input=2, output=2),)),
    )
    published = Published(Route("rt_m", "m", targets, strategy=Strategy.CHEAPEST))
    now = 1_999_999_999.0
    ranker = Ranker(store.url, ledger, clock=lambda: now)
    await ranker.look(published)
    assert published.order == ["raised/m", "steady/m"]
    now += 1
    await ranker.look(published)
    assert published.order == ["steady/m", "raised/m"]
    ranker.close()


def _store_slot(writing: LedgerTransaction, row: tuple[object, ...]) -> None:
    writing.insert("routing_slot", slots.COLUMNS, [row])


async def test_what_another_version_stored_is_left_out(
    store: Store, ledger: Ledger, make_ranker: Callable[[], Ranker]
) -> None:
    await append(ledger, quick=100_000, slow=2_000_000)
    for data in (b"[1,2,3]", b"[0,0,0,0,0,0,0,0,0,{},{},{},{},1]", b"[{},0,0,0,0,0,0,0,0,{},{},{},{}]", b"{}"):
        row = (slot_of(NOW), "rt_m", SLOW, 0, data)
        await ledger.write(partial(_store_slot, row=row))
    ranker, published = make_ranker(), Published(ROUTE)
    await ranker.look(published)
    assert published.order == [QUICK, SLOW]


async def test_a_clock_that_is_set_back_stops_no_ranking(store: Store, ledger: Ledger) -> None:
    raised = (
        TargetPrice(input=1, output=1, version=1),
        TargetPrice(input=9, output=9, valid_from=1_500, version=2),
    )
    targets = (
        ProviderTarget("raised", "m", prices=raised),
        ProviderTarget("steady", "m", prices=(TargetPrice(input=2, output=2),)),
    )
    published = Published(Route("rt_m", "m", targets, strategy=Strategy.CHEAPEST))
    now = 1_000_000.0
    ranker = Ranker(store.url, ledger, clock=lambda: now)
    await ranker.look(published)
    assert published.order == ["steady/m", "raised/m"]
    now = 1_000.0
    await ranker.look(published)
    assert published.order == ["raised/m", "steady/m"]
    number = len(published.rankings)
    for _ in range(3):
        now += 1
        await ranker.look(published)
    assert len(published.rankings) == number  # what was chosen after the change was stored
    ranker.close()


async def test_nothing_is_read_where_no_route_needs_it_and_all_of_it_as_soon_as_one_does(
    ledger: Ledger, make_ranker: Callable[[], Ranker], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    rows = DatabaseSnapshot.rows

    def counted(snapshot: DatabaseSnapshot, statement: str, *parameters: object) -> list[Row]:
        read.append(statement)
        return rows(snapshot, statement, *parameters)

    monkeypatch.setattr(DatabaseSnapshot, "rows", counted)
    ranker, published = make_ranker(), Published(replace(ROUTE, strategy=Strategy.WEIGHTED))
    await append(ledger, quick=100_000, slow=2_000_000)
    read.clear()
    for _ in range(60):
        await ranker.look(published)
    assert read == []
    assert published.rankings == []
    published.become(ROUTE)
    await ranker.look(published)
    assert published.order == [QUICK, SLOW]
    published.become()
    await ranker.look(published)
    assert published.rankings[-1] == {}


async def test_a_route_that_is_not_ranked_is_explained_by_the_latest_records(
    ledger: Ledger, make_ranker: Callable[[], Ranker]
) -> None:
    ranker, route = make_ranker(), replace(ROUTE, strategy=Strategy.WEIGHTED)
    for attempts in (10, 20):
        await append(ledger, quick=100_000)
        _, explained = await ranker.explain(route)
        assert {each.scored.target.id: each.scored.measured.attempts for each in explained}[QUICK] == attempts


async def test_what_is_old_is_removed(store: Store, ledger: Ledger) -> None:
    await append(ledger, quick=100_000)
    later = NOW + 2 * (KEPT_SLOTS + 1)
    reader = open_reader(store.url)
    with reader.snapshot() as snapshot:
        assert list(after(snapshot, 0, 0))
    await Retention(ledger, RetentionPeriods(), clock=lambda: later).remove()
    with reader.snapshot() as snapshot:
        assert not list(after(snapshot, 0, 0))
    reader.close()
