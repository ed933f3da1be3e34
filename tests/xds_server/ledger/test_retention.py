"""Old records are removed, batch by batch; the rest stays."""

from __future__ import annotations

import time

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Dimension, Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention import Retention
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.store import Store

MIDNIGHT = MONDAY_10 - 10 * HOUR


async def requests_by_day(reader: LedgerReader) -> dict[str, int]:
    return {group.values[0]: group.sums[0] for group in await reader.report(Filter(), (Dimension.DAY,))}


def rows_of(store: Store, table: str) -> int:
    with store._reader.snapshot() as snapshot:
        return int(snapshot.rows(f"SELECT COUNT(*) FROM {table}")[0][0])


async def test_raw_records_go_and_their_sums_stay(store: Store, ledger: Ledger, reader: LedgerReader) -> None:
    now = MONDAY_10 + 10 * DAY
    old = [usage(at=MONDAY_10 + index) for index in range(250)]
    young = [usage(at=now - 3 * DAY), usage(at=now - 3 * DAY + 1)]
    await ledger.append(batch(*old, *young))
    retention = Retention(ledger, RetentionPeriods(records=3 * DAY, rollups=0), batch=100, clock=lambda: now)
    assert await retention.remove() == 250
    assert [row.id async for page in reader.export(Filter()) for row in page] == [each.id for each in young]
    assert await requests_by_day(reader) == {"2026-11-02": 250, "2026-11-09": 2}
    assert await retention.remove() == 0
    assert rows_of(store, "usage_block") == 1
    assert [row.id for row in await reader.top(Filter(), "cost_nano_usd", 5)] == [each.id for each in young[::-1]]


async def test_the_hour_that_is_not_over_stays(ledger: Ledger, reader: LedgerReader) -> None:
    first, second = usage(at=MONDAY_10 - 1), usage(at=MONDAY_10)
    await ledger.append(batch(first, second))
    retention = Retention(ledger, RetentionPeriods(records=3 * DAY), clock=lambda: MONDAY_10 + 3 * DAY + HOUR - 1)
    assert await retention.remove() == 1
    assert [row.id async for page in reader.export(Filter()) for row in page] == [second.id]


async def test_what_was_set_aside_goes_as_raw_records_do(ledger: Ledger, reader: LedgerReader) -> None:
    await ledger.append(batch(usage(format=9)))
    clock = [time.time()]
    retention = Retention(ledger, RetentionPeriods(records=3 * DAY), clock=lambda: clock[0])
    await retention.remove()
    assert (await reader.refused(0))[1] == 1
    clock[0] += 3 * DAY + HOUR
    await retention.remove()
    assert (await reader.refused(0))[1] == 0


async def test_rollups_go_by_days_with_everything_that_belongs_to_them(
    store: Store, ledger: Ledger, reader: LedgerReader
) -> None:
    gone = [usage(at=MIDNIGHT - 1 - index * HOUR, tag=f"old{index}", images=1) for index in range(7)]
    kept = [
        usage(at=MIDNIGHT, tag="new", images=1),
        usage(at=MIDNIGHT - DAY, tag="new"),
        usage(at=MIDNIGHT + 5, tag="old1"),
    ]
    await ledger.append(batch(*gone, *kept))
    clock = [MIDNIGHT + 5 * DAY + 7 * HOUR]
    retention = Retention(ledger, RetentionPeriods(records=0, rollups=5 * DAY), batch=2, clock=lambda: clock[0])
    assert await retention.remove() == 0
    assert await requests_by_day(reader) == {"2026-11-02": 2}
    tables = ("usage_series", "usage_hour", "usage_first_byte", "usage_tag", "usage_unit", "usage_request")
    assert [rows_of(store, table) for table in tables] == [3, 2, 2, 2, 1, 10]
    clock[0] += DAY
    await retention.remove()
    # Only the group of the series remains.
    assert [rows_of(store, table) for table in tables] == [1, 0, 0, 0, 0, 10]


async def test_what_is_kept_for_ever_stays(ledger: Ledger, reader: LedgerReader) -> None:
    await ledger.append(batch(usage(at=1_000_000)))
    assert await Retention(ledger, RetentionPeriods(records=0, rollups=0)).remove() == 0
    assert await requests_by_day(reader) == {"1970-01-12": 1}
