"""Requests are found by how they ended, also those that were stored before there was an index, and without a look
at the others.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from trunkline_proto.ledger.v1 import ledger_pb2

from tests.xds_server.ledger.test_search import all_pages
from tests.xds_server.ledger.test_writing import RECORDS
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.background import BackgroundTask
from xds_server.ledger import blocks, outcomes, rollup, search
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.indexing import Indexing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.outcomes import Outcomes
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention import Retention
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.ledger.search import Search
from xds_server.store import Store
from xds_server.usage.scope import Within

_organisations, _numbers = itertools.count(), itertools.count()
#: Beginnings of ids, and users.
NAMED = (("", ""), ("", "u"), ("a000", ""), ("a000", "u"))
ENDED = {
    "429": outcomes.of(429),
    "0": outcomes.of(0),
    "5xx": Outcomes((range(500, 600),)),
    "failed": outcomes.FAILED,
    "cancelled": outcomes.of(outcomes.CANCELLED),
    "expired": outcomes.of(outcomes.EXPIRED),
    "200": outcomes.of(200),
}
FILTERS: list[dict[str, Any]] = [
    {},
    {"key_id": "k1"},
    {"model": "m2", "target_id": "q/m2"},
    {"tag": "y"},
    {"since": MONDAY_10 + 3 * HOUR + 7, "until": MONDAY_10 + 20 * HOUR + 7},
    {"within": Within((), ("k2",))},
]
ENDS = st.fixed_dictionaries(
    {
        "status": st.sampled_from([0, 200, 429, 503]),
        "cancelled": st.booleans(),
        "end_user": st.sampled_from(["", "u"]),
    }
)


def ended_so(record: ledger_pb2.UsageRecord, name: str) -> bool:
    if name in {"cancelled", "expired"}:
        return bool(getattr(record, name))
    if name == "failed":
        return record.status == 0 or record.status >= 400
    return record.status // 100 == 5 if name == "5xx" else record.status == int(name)


def forget(writing: LedgerTransaction) -> None:
    """Leaves the index as the migration does: every stored block is still to be indexed."""
    writing.run("DELETE FROM usage_outcome")
    writing.run("DELETE FROM usage_outcome_position")
    writing.run(
        "INSERT INTO usage_outcome_position (id, hour, block, last_block) "
        "SELECT 1, MAX(hour) + 1, 0, MAX(id) FROM usage_block"
    )


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=RECORDS, ends=st.lists(ENDS, min_size=1), size=st.integers(1, 4), filled=st.integers(0, 3))
def test_what_ended_so_is_found(
    store: Store, drawn: list[dict[str, Any]], ends: list[dict[str, Any]], size: int, filled: int
) -> None:
    """Half of the records were stored by an earlier version; some of their hours are indexed."""
    organisation = f"org_{next(_organisations)}"
    records = [
        usage(organisation_id=organisation, id=f"{'ab'[number % 2]}{next(_numbers):09}", **{**each, **end})
        for number, (each, end) in enumerate(zip(drawn, itertools.cycle(ends), strict=False))
    ]

    async def run() -> None:
        ledger, reader = Ledger(store.url, store.write_lock), LedgerReader(store.url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "_STEP", 2)
            patch.setattr(search, "_FOUND", 2)
            patch.setattr(outcomes, "_RECORDS", 2)
            patch.setattr(rollup, "MAX_TAGS", 1)
            half = len(records) // 2
            if records[:half]:
                await ledger.append(batch(*records[:half]))
                await ledger.write(forget)
            for start in range(half, len(records), 3):
                await ledger.append(batch(*records[start : start + 3]))
            for _ in range(filled):
                await ledger.write(outcomes.advance)
            for fields, (name, ended), (prefix, user) in itertools.product(FILTERS, ENDED.items(), NAMED):
                wanted = Filter(organisation_id=organisation, **fields)
                found = await all_pages(reader, Search(wanted, prefix, user, ended), size)
                expected = [
                    each.id
                    for each in sorted(records, key=lambda one: (one.started_at_us, one.id), reverse=True)
                    if all(getattr(each, column) == value for column, value in wanted.given.items())
                    and each.started_at_us in wanted.times_us
                    and (wanted.within is None or each.key_id in wanted.within.key_ids)
                    and ended_so(each, name)
                    and user in {"", each.end_user}
                    and each.id.startswith(prefix)
                ]
                assert found == expected, (fields, name, prefix, user)
        reader.close()
        ledger.close()

    asyncio.run(run())


async def test_the_others_are_not_opened(
    ledger: Ledger, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.append(batch(usage(MONDAY_10, id="limited", status=429)))
    await ledger.append(batch(usage(MONDAY_10, id="limited too", status=429, key_id="k2")))
    for number in range(20):
        await ledger.append(batch(*(usage(MONDAY_10 + number, key_id="k2") for _ in range(5))))
    opened: list[int] = []
    written = blocks.written

    def counted(snapshot: Any, block: int) -> blocks.Written:
        opened.append(block)
        return written(snapshot, block)

    monkeypatch.setattr(blocks, "written", counted)
    assert await all_pages(reader, Search(outcomes=outcomes.of(451)), 100) == []
    assert opened == []
    found = await all_pages(reader, Search(Filter(key_id="k2"), outcomes=outcomes.of(429)), 100)
    assert (found, len(opened)) == (["limited too"], 1)


async def test_what_ends_as_most_do_has_no_row(store: Store, ledger: Ledger) -> None:
    await ledger.append(batch(usage(), usage(status=201), usage(cancelled=True)))
    with store._reader.snapshot() as snapshot:
        assert snapshot.rows("SELECT outcome FROM usage_outcome ORDER BY outcome") == [
            (outcomes.CANCELLED,),
            (201,),
        ]


async def test_earlier_blocks_are_indexed_from_the_newest_hour_on(
    store: Store, ledger: Ledger, reader: LedgerReader
) -> None:
    hours = 6
    for hour in range(hours):
        for number in range(2):
            await ledger.append(batch(usage(MONDAY_10 + hour * HOUR, id=f"{hour}-{number}", status=503)))
    await ledger.write(forget)
    await ledger.append(batch(usage(MONDAY_10, id="late", status=503)))
    reports: list[BackgroundTask | None] = []
    assert await ledger.write(outcomes.advance) == hours - 1
    with store._reader.snapshot() as snapshot:
        assert outcomes.complete_since(snapshot) == (MONDAY_10 + (hours - 1) * HOUR) * 1_000_000
    await Indexing(ledger, reports.append, clock=lambda: MONDAY_10).catch_up()
    assert [(each.done, each.total) for each in reports if each is not None][-1] == (hours - 1, hours - 1)
    assert reports[-1] is None
    with store._reader.snapshot() as snapshot:
        assert outcomes.complete_since(snapshot) == 0
        assert snapshot.rows("SELECT COUNT(*) FROM usage_outcome") == [(2 * hours + 1,)]
    assert len(await all_pages(reader, Search(outcomes=outcomes.of(503)), 3)) == 2 * hours + 1


async def test_the_index_of_removed_records_goes_with_them(store: Store, ledger: Ledger) -> None:
    later = usage(MONDAY_10 + 10 * DAY, status=503, end_user="u")
    await ledger.append(batch(*(usage(status=status, end_user="u") for status in (429, 429, 503, 503)), later))
    for hour in (1, 20 * 24):
        clock = MONDAY_10 + hour * HOUR
        await Indexing(ledger, clock=lambda clock=clock: clock).catch_up()  # type: ignore[misc]
    periods = RetentionPeriods(records=3 * DAY, rollups=0)
    await Retention(ledger, periods, batch=1, clock=lambda: MONDAY_10 + 5 * DAY).remove()
    with store._reader.snapshot() as snapshot:
        assert snapshot.rows("SELECT started_at_us FROM usage_outcome") == [(later.started_at_us,)]
        assert snapshot.rows("SELECT since_us FROM usage_user") == [(later.started_at_us,)]
