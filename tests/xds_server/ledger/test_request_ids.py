"""A request is found by its id, wherever the index ends and however late its record came."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.background import BackgroundTask
from xds_server.ledger import request_ids
from xds_server.ledger.indexing import Indexing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.retention import Retention
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.ledger.search import NEWEST, Search
from xds_server.store import Store

LATER = MONDAY_10 + 40 * DAY
_uuids = random.Random(4)


def new_id() -> str:
    return str(uuid.UUID(int=_uuids.getrandbits(128)))


async def found(reader: LedgerReader, id_prefix: str, wanted: Filter | None = None) -> list[str]:
    rows, rest = await reader.search(Search(wanted or Filter(), id_prefix), NEWEST, 100, 60.0)
    assert rest is None
    return [row.id for row in rows]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hours=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    ends=st.lists(st.integers(-1, 21), min_size=1, max_size=3),
    stretch=st.integers(1, 5),
)
def test_every_request_is_found(store: Store, hours: list[int], ends: list[int], stretch: int) -> None:
    """Records arrive between the steps of indexing, before and after the indexed times; several share a
    microsecond.
    """
    made = [usage(MONDAY_10 + hour * HOUR, id=new_id()) for hour in hours]
    shared = new_id()[:8]
    made += [usage(MONDAY_10 + hour * HOUR + 1, id=f"{shared}-{number}") for number, hour in enumerate(hours)]

    async def run() -> None:
        ledger, reader = Ledger(store.url, store.write_lock), LedgerReader(store.url)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(request_ids, "STRETCH", stretch)
            parts = [made[start::3] for start in range(3)]
            for part, end in itertools.zip_longest(parts, sorted(ends)):
                if part:
                    await ledger.append(batch(*part))
                until = (MONDAY_10 + (end if end is not None else 0) * HOUR) * 1_000_000
                while await ledger.write(lambda writing, until=until: request_ids.advance(writing, until)):  # type: ignore[misc]
                    pass
        for each in made[: len(hours)]:
            assert await found(reader, each.id) == [each.id]
            assert await found(reader, each.id[:8]) == [each.id]
        newest_first = sorted(made[len(hours) :], key=lambda each: (each.started_at_us, each.id), reverse=True)
        several = [each for each in await found(reader, shared) if each.startswith(f"{shared}-")]
        assert [each for each in several if each in {record.id for record in made}] == [
            each.id for each in newest_first
        ]
        assert await found(reader, new_id()) == []
        reader.close()
        ledger.close()

    asyncio.run(run())


async def test_what_is_indexed_is_searched_in_its_stretch_alone(
    store: Store, ledger: Ledger, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [usage(MONDAY_10 + number * HOUR, id=new_id()) for number in range(60)]
    await ledger.append(batch(*made))
    monkeypatch.setattr(request_ids, "STRETCH", 10)
    reports: list[BackgroundTask | None] = []
    await Indexing(ledger, reports.append, clock=lambda: LATER).catch_up()
    assert reports[-1] is None
    assert reports[0] is not None
    assert (reports[0].done, reports[0].unit) == (10, "hours")
    with store._reader.snapshot() as snapshot:
        stretch = request_ids.latest(snapshot, made[25].id, 0, LATER * 1_000_000)
        assert stretch == request_ids.Stretch(made[20].started_at_us, made[30].started_at_us)
        assert request_ids.latest(snapshot, made[25].id, 0, made[20].started_at_us) is None
        assert request_ids.latest(snapshot, new_id(), 0, LATER * 1_000_000) is None
    since = Filter(since=MONDAY_10 + 26 * HOUR)
    assert await found(reader, made[25].id, since) == []
    assert await found(reader, made[26].id, since) == [made[26].id]


async def test_the_index_of_removed_records_goes_with_them(store: Store, ledger: Ledger) -> None:
    await ledger.append(batch(usage(id=new_id()), usage(MONDAY_10 + 10 * DAY, id=new_id())))
    for end in (MONDAY_10 + DAY, LATER):
        await ledger.write(lambda writing, end=end: request_ids.advance(writing, end * 1_000_000))  # type: ignore[misc]
    periods = RetentionPeriods(records=3 * DAY, rollups=0)
    await Retention(ledger, periods, clock=lambda: MONDAY_10 + 5 * DAY).remove()
    with store._reader.snapshot() as snapshot:
        assert snapshot.rows("SELECT since_us FROM usage_id") == [((MONDAY_10 + 10 * DAY) * 1_000_000,)]
