"""What nodes said last, in the database."""

from __future__ import annotations

import asyncio

import pytest

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.ledger import Ledger
from xds_server.nodes.kept import Kept, Row


def row(node: str, report: bytes = b"r", *, departed: bool = False) -> Row:
    return Row(node, report, 1_800_000_000, departed)


async def test_rows_are_written_replaced_and_removed(tables: Ledger) -> None:
    rows: dict[str, Row] = {f"nd-{number:03}": row(f"nd-{number:03}", bytes([number])) for number in range(250)}
    kept = Kept(tables, rows.get)
    for name in rows:
        kept.changed(name)
    await kept.flush()
    assert await kept.load() == list(rows.values())
    rows["nd-001"] = row("nd-001", b"other", departed=True)
    del rows["nd-002"]
    for name in ("nd-001", "nd-002", "nd-999"):
        kept.changed(name)
    await kept.flush()
    assert await Kept(tables, rows.get).load() == list(rows.values())


class Counting:
    """The tables, with a count of transactions, and down when asked to be."""

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
    kept = Kept(counting, lambda _: current)
    running = asyncio.create_task(kept.run())
    for number in range(50):
        kept.changed("a")
        current = row("a", bytes([number]))
    await asyncio.wait_for(counting.written.wait(), 30)
    assert counting.transactions == 1
    assert await kept.load() == [row("a", bytes([49]))]
    running.cancel()


async def test_a_database_that_is_down_loses_nothing(tables: Ledger) -> None:
    counting = Counting(tables)
    kept = Kept(counting, lambda name: row(name, name.encode()))
    counting.down = True
    kept.changed("a")
    with pytest.raises(DatabaseUnavailableError):
        await kept.flush()
    counting.down = False
    kept.changed("b")
    await kept.flush()
    assert {each.node_id for each in await kept.load()} == {"a", "b"}
