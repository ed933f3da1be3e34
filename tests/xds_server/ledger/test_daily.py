"""Sums by day equal sums by hour, for any order of records, and if a process dies in between."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.xds_server.ledger.test_writing import RECORDS
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.databases import OpenStore
from xds_server.background import BackgroundTask
from xds_server.ledger import daily, reports, spans
from xds_server.ledger.daily import ALL_SERIES, DailyPosition
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Dimension, Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention import Retention
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.ledger.spans import Spans
from xds_server.ledger.summing import DailySums
from xds_server.store import Store
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.scope import Within

MONDAY = MONDAY_10 // DAY
_organisations = itertools.count()

#: (the filter, the dimensions)
ASKED = [
    (fields, by)
    for fields in (
        {},
        {"since": MONDAY_10 + HOUR, "until": MONDAY_10 + 3 * DAY + 5 * HOUR},
        {"since": MONDAY * DAY, "until": (MONDAY + 2) * DAY},
        {"since": MONDAY_10 + 5 * HOUR, "until": MONDAY_10 + 6 * HOUR},
        {"model": "m1"},
        {"tag": "x", "until": MONDAY_10 + 20 * HOUR},
    )
    for by in (
        (),
        (Dimension.DAY,),
        (Dimension.HOUR,),
        (Dimension.MODEL, Dimension.ORGANISATION),
        (Dimension.DAY, Dimension.KEY),
        (Dimension.TARGET, Dimension.TAG),
    )
]


def by_hours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes reports as if no day had been summed."""

    def hours(snapshot: DatabaseSnapshot, wanted: Filter, by: object) -> Spans:
        return Spans(range(0), [range(wanted.first_hour, wanted.last_hour + 1)], groups=False)

    monkeypatch.setattr(reports, "spans", hours)


def everything(snapshot: DatabaseSnapshot, organisation: str, within: Within | None = None) -> list[Any]:
    """Returns every requested report, and the comparison of targets."""
    found: list[Any] = []
    for fields, by in ASKED:
        wanted = Filter(organisation_id=organisation, within=within, **fields)
        found.append(sorted(reports.report(snapshot, wanted, by)))
        if not by:
            found.append(reports.compare(snapshot, wanted))
    return found


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    drawn=RECORDS,
    order=st.randoms(use_true_random=False),
    days=st.lists(st.integers(0, 35), min_size=1, max_size=4),
    size=st.integers(1, 3),
)
def test_sums_by_day_are_those_by_hour(
    store: Store, drawn: list[dict[str, Any]], order: Any, days: list[int], size: int
) -> None:
    """Records arrive in any order between the steps of two replicas that sum at once."""
    organisation = f"org_{next(_organisations)}"
    records = [usage(organisation_id=organisation, images=index % 2, **each) for index, each in enumerate(drawn)]
    order.shuffle(records)

    async def run() -> None:
        ledgers = [Ledger(store.url, store.write_lock) for _ in range(2)]
        reader = LedgerReader(store.url)
        parts = [records[start : start + 4] for start in range(0, len(records), 4)] or [[]]
        for number, (part, day) in enumerate(itertools.zip_longest(parts, sorted(days), fillvalue=None)):
            if part:
                await ledgers[number % 2].append(batch(*part))
            today = MONDAY + (day if day is not None else 0)
            for each in ledgers * 2:
                await each.write(lambda writing, today=today: daily.advance(writing, today, size))  # type: ignore[misc]
        within = Within((organisation,), ("k1",))
        mixed = await reader.read(lambda snapshot: everything(snapshot, organisation))
        mixed_within = await reader.read(lambda snapshot: everything(snapshot, organisation, within))
        with pytest.MonkeyPatch.context() as patch:
            by_hours_alone(patch)
            assert await reader.read(lambda snapshot: everything(snapshot, organisation)) == mixed
            assert await reader.read(lambda snapshot: everything(snapshot, organisation, within)) == mixed_within
        reader.close()
        for each in ledgers:
            each.close()

    asyncio.run(run())


def at(ledger: Ledger, day: float) -> DailySums:
    return DailySums(ledger, clock=lambda: (MONDAY + day) * DAY)


async def position(reader: LedgerReader) -> DailyPosition:
    return await reader.read(daily.position)


async def test_only_days_that_have_ended_are_summed(ledger: Ledger, reader: LedgerReader) -> None:
    await ledger.append(batch(usage(), usage(at=MONDAY_10 + DAY)))
    assert await at(ledger, 0.99).catch_up() == 0
    assert (await position(reader)).complete_day == MONDAY - 1
    assert await at(ledger, 1).catch_up() == 1
    assert await position(reader) == DailyPosition(MONDAY, ALL_SERIES)
    assert await at(ledger, 1.5).catch_up() == 0


async def test_days_far_apart_take_no_step_for_each_day_between(ledger: Ledger, reader: LedgerReader) -> None:
    """A wrong clock wrote a record in 1970."""
    await ledger.append(batch(usage(at=1_000_000), usage()))
    steps: list[BackgroundTask | None] = []
    await DailySums(ledger, steps.append, clock=lambda: (MONDAY + 1) * DAY).catch_up()
    assert steps[0] is not None
    assert (steps[0].done, steps[0].total, steps[0].unit) == (0, 20_749, "days")
    assert steps[-1] is None
    assert len(steps) < 5
    assert [group.values for group in await reader.report(Filter(), (Dimension.DAY,))] == [
        ("1970-01-12",),
        ("2026-11-02",),
    ]


async def test_summing_goes_on_where_another_process_stopped(
    open_store: OpenStore, ledger: Ledger, reader: LedgerReader
) -> None:
    """A process stopped in the middle of a day; then records came for a summed series and for a new one."""
    await ledger.append(batch(*(usage(key_id=f"k{number}") for number in range(5))))
    await ledger.write(lambda writing: daily.advance(writing, MONDAY + 1, 2))
    assert (await position(reader)).complete_day == MONDAY - 1
    await ledger.append(batch(usage(key_id="k0"), usage(key_id="new"), usage(key_id="k4")))
    store = open_store()
    other = Ledger(store.url, store.write_lock)
    assert await at(other, 1).catch_up() == 1
    other.close()
    await ledger.append(batch(usage(key_id="k3"), usage(key_id="newer")))
    by_key = await reader.report(Filter(), (Dimension.KEY,))
    assert {group.values[0]: group.sums[0] for group in by_key} == {
        "k0": 2, "k1": 1, "k2": 1, "k3": 2, "k4": 2, "new": 1, "newer": 1
    }  # fmt: skip
    (total,) = await reader.report(Filter(), ())
    assert total.sums[0] == 10


async def test_what_dies_in_a_step_leaves_no_trace(ledger: Ledger, reader: LedgerReader) -> None:
    await ledger.append(batch(usage(), usage(key_id="k2")))

    def dying(writing: Any) -> None:
        daily.advance(writing, MONDAY + 1, 1)
        raise KeyError("dies before the commit")

    with pytest.raises(KeyError):
        await ledger.write(dying)
    assert await position(reader) == DailyPosition(-1, ALL_SERIES)
    assert await at(ledger, 1).catch_up() == 1
    (total,) = await reader.report(Filter(), ())
    assert total.sums[0] == 2


async def test_sums_of_days_go_with_those_of_hours(store: Store, ledger: Ledger, reader: LedgerReader) -> None:
    await ledger.append(batch(usage(images=1), usage(at=MONDAY_10 + 3 * DAY, images=1)))
    await at(ledger, 5).catch_up()
    await Retention(ledger, RetentionPeriods(records=0, rollups=DAY), clock=lambda: (MONDAY + 3) * DAY).remove()
    assert [group.values for group in await reader.report(Filter(), (Dimension.DAY,))] == [("2026-11-05",)]
    tables = ("usage_day", "usage_day_unit", "usage_day_first_byte")
    with store._reader.snapshot() as snapshot:
        counts = [snapshot.rows(f"SELECT COUNT(*) FROM {name}")[0][0] for name in tables]
    assert counts == [2, 2, 1]


def test_edges_are_read_by_the_hour(store: Store, ledger: Ledger) -> None:
    async def summed() -> None:
        await ledger.append(batch(usage(), usage(at=MONDAY_10 + 4 * DAY)))
        await at(ledger, 5).catch_up()

    asyncio.run(summed())
    midnight = MONDAY * 24
    with store._reader.snapshot() as snapshot:
        wanted = Filter(since=MONDAY_10, until=MONDAY_10 + 2 * DAY + 1)
        found = spans.spans(snapshot, wanted, (Dimension.MODEL,))
        assert found.days == range(MONDAY + 1, MONDAY + 2)
        assert found.hours == [range(midnight + 10, midnight + 24), range(midnight + 48, midnight + 59)]
        assert found.groups
        assert not spans.spans(snapshot, Filter(tag="x"), ()).groups
        assert not spans.spans(snapshot, Filter(within=Within((), ("k",))), ()).groups
        assert not spans.spans(snapshot, wanted, (Dimension.HOUR,)).days
