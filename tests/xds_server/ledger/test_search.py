"""Searches find the same records as a full scan, and use the sums to skip hours without a match."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.xds_server.ledger.test_writing import RECORDS
from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.ledger import outcomes, rollup, search
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.requests import Cursor
from xds_server.ledger.retention_periods import RetentionPeriods
from xds_server.ledger.search import NEWEST, Search
from xds_server.store import Store
from xds_server.usage.scope import Within

_organisations = itertools.count()
FILTERS: list[dict[str, Any]] = [
    {},
    {"key_id": "k1"},
    {"model": "m2", "target_id": "q/m2"},
    {"tag": "y"},
    {"tag": "nobody's"},
    {"since": MONDAY_10 + 3 * HOUR + 7, "until": MONDAY_10 + 20 * HOUR + 7, "key_id": "k2"},
    {"within": Within((), ("k2",))},
]


async def all_pages(reader: LedgerReader, wanted: Search, size: int) -> list[str]:
    found, before = [], NEWEST
    while True:
        rows, after = await reader.search(wanted, before, size, 60.0)
        found += [row.id for row in rows]
        if after is None:
            return found
        before = after


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=RECORDS, size=st.integers(1, 4), step=st.integers(1, 5))
def test_a_search_finds_what_matches(store: Store, drawn: list[dict[str, Any]], size: int, step: int) -> None:
    organisation = f"org_{next(_organisations)}"
    records = [usage(organisation_id=organisation, **each) for each in drawn]

    async def run() -> None:
        ledger, reader = Ledger(store.url, store.write_lock), LedgerReader(store.url)
        for start in range(0, len(records), 3):
            await ledger.append(batch(*records[start : start + 3]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(search, "_STEP", step)
            patch.setattr(rollup, "MAX_TAGS", 1)
            for fields, status in itertools.product(FILTERS, (None, 0, 503)):
                wanted = Filter(organisation_id=organisation, **fields)
                ended = outcomes.ANY if status is None else outcomes.of(status)
                found = await all_pages(reader, Search(wanted, outcomes=ended), size)
                expected = [
                    each.id
                    for each in sorted(records, key=lambda one: (one.started_at_us, one.id), reverse=True)
                    if all(getattr(each, name) == value for name, value in wanted.given.items())
                    and each.started_at_us in wanted.times_us
                    and (wanted.within is None or each.key_id in wanted.within.key_ids)
                    and status in {None, each.status}
                ]
                assert found == expected, (fields, status)
        reader.close()
        ledger.close()

    asyncio.run(run())


async def test_hours_without_a_match_are_skipped(
    ledger: Ledger, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.append(batch(usage(MONDAY_10, id="rare", key_id="k9"), usage(MONDAY_10 + 1, key_id="k1")))
    for hour in range(1, 30):
        await ledger.append(batch(*(usage(MONDAY_10 + hour * HOUR + n, key_id="k1") for n in range(5))))
    monkeypatch.setattr(search, "_STEP", 5)
    steps: list[Cursor] = []
    step = search.step

    def counted(snapshot: Any, wanted: Search, before: Cursor) -> Any:
        steps.append(before)
        return step(snapshot, wanted, before)

    monkeypatch.setattr(search, "step", counted)
    assert await all_pages(reader, Search(Filter(key_id="k9")), 100) == ["rare"]
    assert len(steps) <= 2
    steps.clear()
    assert await all_pages(reader, Search(Filter(key_id="nobody's")), 100) == []
    assert steps == []


def test_sums_are_kept_as_long_as_records() -> None:
    assert RetentionPeriods.of(records=30, rollups=400) == RetentionPeriods(30, 400)
    assert RetentionPeriods.of(records=30, rollups=7) == RetentionPeriods(30, 30)
    assert RetentionPeriods.of(records=0, rollups=7) == RetentionPeriods(0, 0)
    assert RetentionPeriods.of(records=30, rollups=0) == RetentionPeriods(30, 0)
