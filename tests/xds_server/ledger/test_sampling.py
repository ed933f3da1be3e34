"""Records for rules that read all of them, or a fair sample."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from tests.xds_server.store.databases import database, key_file, open_store, store
from xds_server.ledger import sampling
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import LedgerReader
from xds_server.ledger.sampling import ChosenBlocks, Reading, choose
from xds_server.store import Store
from xds_server.store.connection import open_reader
from xds_server.usage.records import Columns

__all__ = ["database", "key_file", "open_store", "store"]

BLOCKS, SIZE = 300, 3


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[Ledger]:
    """A ledger with blocks of three records, spread over ten hours."""
    opened = Ledger(store.url, store.write_lock)
    for number in range(BLOCKS):
        at = MONDAY_10 + number * 10 * HOUR // BLOCKS
        await opened.append(batch(*(usage(at, model=f"m{number % 2}") for _ in range(SIZE))))
    yield opened
    opened.close()


async def test_few_records_are_read_once_each(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "_SECONDS", 600.0)
    reader = LedgerReader(store.url)
    ids: list[str] = []
    coverage = await reader.sample(Filter(since=MONDAY_10), lambda found: ids.extend(found["id"]))
    assert (len(ids), len(set(ids))) == (BLOCKS * SIZE, BLOCKS * SIZE)
    assert coverage == (BLOCKS * SIZE, BLOCKS, BLOCKS)
    assert coverage.factor == 1.0
    hour: list[str] = []
    one_hour = Filter(since=MONDAY_10 + HOUR, until=MONDAY_10 + 2 * HOUR)
    await reader.sample(one_hour, lambda found: hour.extend(found["id"]))
    assert len(hour) == BLOCKS * SIZE / 10
    nothing = await reader.sample(Filter(since=1, until=2), ids.extend)
    assert (nothing.records, nothing.factor) == (0, 1.0)
    reader.close()


async def test_of_many_a_fair_sample_is_read_and_always_the_same(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "MAX_BLOCKS", 150)
    monkeypatch.setattr(sampling, "STEP", 10)
    monkeypatch.setattr(sampling, "_SECONDS", 600.0)
    reader = open_reader(store.url)

    def read() -> tuple[list[str], Reading]:
        models: list[str] = []
        with reader.snapshot() as snapshot:
            chosen = choose(snapshot, Filter(since=MONDAY_10))
            reading = Reading(chosen, lambda found: models.extend(found["model"]), most_records=SIZE * 100)
            while not reading.is_done:
                reading.step(snapshot)
        assert chosen.total == BLOCKS
        assert 100 <= len(chosen.blocks) <= 200
        return models, reading

    models, reading = read()
    assert (reading.coverage.records, reading.coverage.blocks, reading.coverage.factor) == (SIZE * 100, 100, 3.0)
    assert 0.3 <= models.count("m0") / len(models) <= 0.7
    assert read()[0] == models
    reader.close()


def test_reading_ends_in_time() -> None:
    now = iter(range(100))
    reading = Reading(ChosenBlocks(range(10**6), 10**6), _unread, clock=lambda: next(now) * 1.0)
    looks = 0
    while not reading.is_done:
        looks += 1
    assert 0 < looks <= 11


def _unread(found: Columns) -> None:
    raise AssertionError


async def test_a_block_that_is_removed_meanwhile_is_no_failure(store: Store, ledger: Ledger) -> None:
    reader = open_reader(store.url)
    found: list[str] = []
    with reader.snapshot() as snapshot:
        reading = Reading(ChosenBlocks([10**9, 1], 2), lambda each: found.extend(each["id"]))
        reading.step(snapshot)
    assert reading.is_done
    assert (len(found), reading.coverage.blocks) == (SIZE, 2)
    reader.close()
