"""The last reports of nodes, in the database."""

from __future__ import annotations

import asyncio

import pytest

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.ledger import Ledger
from xds_server.nodes.stored import StoredReport, StoredReports


def row(node: str, report: bytes = b"r", *, departed: bool = False) -> StoredReport:
    return StoredReport(node, report, 1_800_000_000, departed)


async def test_rows_are_written_replaced_and_removed(tables: Ledger) -> None:
    rows: dict[str, StoredReport] = {
        f"nd-{number:03}": row(f"nd-{number:03}", bytes([number])) for number in range(250)
    }
    stored = StoredReports(tables, rows.get)
    for name in rows:
        stored.changed(name)
    await stored.flush()
    assert await stored.load() == list(rows.values())
    rows["nd-001"] = row("nd-001", b"other", departed=True)
    del rows["nd-002"]
    for name in ("nd-001", "nd-002", "nd-999"):
        stored.changed(name)
    await stored.flush()
    assert await StoredReports(tables, rows.get).load() == list(rows.values())


class Counting:
    """The tables with a count of transactions; they fail on demand."""

    def __init__(self, tables: Ledger) -> None:
        self._tables = tables
        self.down = False
        self.transactions = 0
        self.written = asyncio.Event()

    async def write(self, work):  # type: ignore[no-untyped-def]
        if self.down:
            raise DatabaseUnavailableError("down")
        result = await self._tables.write(work)
        self.transactions += 1
        self.written.set()
        return result


async def test_changes_gather_and_are_written_by_themselves(tables: Ledger) -> None:
    counting, current = Counting(tables), row("a", b"1")
    stored = StoredReports(counting, lambda _: current)
    running = asyncio.create_task(stored.run())
    for number in range(50):
        stored.changed("a")
        current = row("a", bytes([number]))
    await asyncio.wait_for(counting.written.wait(), 60)
    assert counting.transactions == 1
    assert await stored.load() == [row("a", bytes([49]))]
    running.cancel()


async def test_a_database_that_is_down_loses_nothing(tables: Ledger) -> None:
    counting = Counting(tables)
    stored = StoredReports(counting, lambda name: row(name, name.encode()))
    counting.down = True
    stored.changed("a")
    with pytest.raises(DatabaseUnavailableError):
        await stored.flush()
    counting.down = False
    stored.changed("b")
    await stored.flush()
    assert {each.node_id for each in await stored.load()} == {"a", "b"}
