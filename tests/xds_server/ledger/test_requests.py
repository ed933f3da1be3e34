"""The heaviest requests, and every request in order."""

from __future__ import annotations

import random

import pytest
from trunkline_proto.ledger.v1 import ledger_pb2 as pb

from tests.xds_server.ledger.usage import HOUR, MONDAY_10, batch, usage
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.query import Filter
from xds_server.ledger.reader import PAGE, LedgerReader


@pytest.fixture
async def records(ledger: Ledger) -> list[pb.UsageRecord]:
    """Stores records over three days, out of order."""
    draw = random.Random(7)
    made = [
        usage(
            at=MONDAY_10 + draw.randrange(72 * HOUR),
            model=draw.choice(["m1", "m2"]),
            cost_nano_usd=cost,
            completion_tokens=draw.randrange(10**6),
            duration_us=draw.randrange(10**8),
        )
        for cost in draw.sample(range(10**6), 400)
    ]
    await ledger.append(batch(*made))
    return made


@pytest.mark.parametrize("limit", [1, 20, 1_000])
async def test_the_heaviest(reader: LedgerReader, records: list[pb.UsageRecord], limit: int) -> None:
    for column in ("cost_nano_usd", "duration_us"):
        found = await reader.top(Filter(), column, limit)
        highest = sorted((getattr(each, column) for each in records), reverse=True)
        assert [getattr(row, column) for row in found] == highest[:limit]
    by_tokens = await reader.top(Filter(), "tokens", limit)
    tokens = sorted((each.prompt_tokens + each.completion_tokens for each in records), reverse=True)
    assert [row.prompt_tokens + row.completion_tokens for row in by_tokens] == tokens[:limit]


async def test_the_heaviest_of_a_time_and_a_model(reader: LedgerReader, records: list[pb.UsageRecord]) -> None:
    since, until = MONDAY_10 + 5 * HOUR + 77, MONDAY_10 + 30 * HOUR + 1
    wanted = Filter(since=since, until=until, model="m2")
    matching = [
        each for each in records if since * 10**6 <= each.started_at_us < until * 10**6 and each.model == "m2"
    ]
    expected = sorted(matching, key=lambda each: -each.cost_nano_usd)[:7]
    assert [row.id for row in await reader.top(wanted, "cost_nano_usd", 7)] == [each.id for each in expected]
    assert await reader.top(Filter(model="none"), "cost_nano_usd", 7) == []


async def test_an_empty_ledger(reader: LedgerReader) -> None:
    assert await reader.top(Filter(), "cost_nano_usd", 5) == []
    assert [page async for page in reader.export(Filter())] == []


async def test_an_export_has_every_record_once_in_order(ledger: Ledger, reader: LedgerReader) -> None:
    """Many requests begin in the same microsecond, across the ends of pages."""
    made = [usage(at=MONDAY_10 + index % 5) for index in range(2 * PAGE + 300)]
    for start in range(0, len(made), 500):
        await ledger.append(batch(*made[start : start + 500]))
    pages = [[row.id for row in page] async for page in reader.export(Filter())]
    assert [len(page) for page in pages] == [PAGE, PAGE, 300]
    assert [id_ for page in pages for id_ in page] == [
        each.id for each in sorted(made, key=lambda each: (each.started_at_us, each.id))
    ]
    part = [row async for page in reader.export(Filter(since=MONDAY_10 + 1, until=MONDAY_10 + 3)) for row in page]
    assert {row.started_at_us for row in part} == {(MONDAY_10 + 1) * 10**6, (MONDAY_10 + 2) * 10**6}
    assert len(part) == 920
    none = [page async for page in reader.export(Filter(since=MONDAY_10 + 1, model="none"))]
    assert none == []


async def test_an_export_of_few_among_many_finds_them_all(ledger: Ledger, reader: LedgerReader) -> None:
    """Pages whose records all fail the filter are left out, but the export continues after them."""
    made = [usage(at=MONDAY_10 + index, model="rare" if index % 1_300 == 7 else "m") for index in range(4 * PAGE)]
    for start in range(0, len(made), 1_000):
        await ledger.append(batch(*made[start : start + 1_000]))
    pages = [[row.id for row in page] async for page in reader.export(Filter(model="rare"))]
    assert [id_ for page in pages for id_ in page] == [each.id for each in made if each.model == "rare"]
    assert all(pages)


async def test_an_order_that_runs_over_many_blocks(ledger: Ledger, reader: LedgerReader) -> None:
    """The highest values are in the last blocks that are read."""
    for cost in range(250):
        await ledger.append(batch(usage(cost_nano_usd=1_000 - cost, model="rare" if cost > 246 else "m")))
    found = await reader.top(Filter(model="rare"), "cost_nano_usd", 2)
    assert [row.cost_nano_usd for row in found] == [753, 752]


async def test_a_search_for_the_heaviest_ends_after_so_many_records(ledger: Ledger, reader: LedgerReader) -> None:
    """The answer says from which hour on it is complete. Hours whose highest value is too low cost nothing."""
    for hour in range(4):
        made = [usage(at=MONDAY_10 + hour * HOUR, cost_nano_usd=1_000 - hour * 10 - each) for each in range(4)]
        await ledger.append(batch(*made))
    found = await reader.newest_top(Filter(), "cost_nano_usd", 2, 4)
    assert [row.cost_nano_usd for row in found.rows] == [980, 979]
    assert found.complete_since == MONDAY_10 + 2 * HOUR
    found = await reader.newest_top(Filter(until=MONDAY_10 + HOUR), "cost_nano_usd", 2, 4)
    assert ([row.cost_nano_usd for row in found.rows], found.complete_since) == ([1_000, 999], 0)
    rising = [usage(at=MONDAY_10 - hour * HOUR, cost_nano_usd=900 - hour, model="m") for hour in range(1, 9)]
    await ledger.append(batch(*rising))
    found = await reader.newest_top(Filter(model="m"), "cost_nano_usd", 1, 1_000)
    assert ([row.cost_nano_usd for row in found.rows], found.complete_since) == ([899], 0)
