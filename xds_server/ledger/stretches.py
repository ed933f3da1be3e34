"""The common part of the indexes that are made in the background when records have settled.

A database's own index would touch another page for each record. These have, for each stretch of time, a row for
each of 256 buckets, with some bytes for each request in it. For a time that is indexed, a late record gets a
stretch of its own, in the transaction that stores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot

BUCKETS = 256

_POSITION = {"id": "integer", "until_us": "bigint"}
_MOVE = "ON CONFLICT (id) DO UPDATE SET until_us = excluded.until_us"


class Part(NamedTuple):
    """The start, id and block of each request in the part of time that is indexed next; `until_us` is its end,
    exclusive.
    """

    requests: list[tuple[int, str, int]]
    until_us: int


class StretchIndex:
    """An index in `table`, whose rows have their bytes in the column `content`."""

    def __init__(self, table: str, content: str) -> None:
        self.table = table
        self._content = content
        self._columns = {"bucket": "integer", "since_us": "bigint", "until_us": "bigint", content: "bytea"}

    def indexed_until(self, snapshot: DatabaseSnapshot) -> int:
        """Returns the time (Unix microseconds) before which every request is indexed."""
        rows = snapshot.rows(f"SELECT until_us FROM {self.table}_position")  # noqa: S608 - one of two names
        return int(rows[0][0]) if rows else 0

    def first_missing(self, snapshot: DatabaseSnapshot) -> int | None:
        """Returns when the first request that is not indexed began; None if there is none."""
        begin = self.indexed_until(snapshot)
        rows = snapshot.rows("SELECT MIN(started_at_us) FROM usage_request WHERE started_at_us >= ?", begin)
        return rows[0][0]  # type: ignore[no-any-return]

    def next_part(self, snapshot: DatabaseSnapshot, until_us: int, size: int) -> Part | None:
        """Returns the next part to index, of about `size` requests that began before `until_us`; None if all of
        them are indexed.
        """
        begin = self.indexed_until(snapshot)
        if begin >= until_us:
            return None
        select = (
            "SELECT started_at_us, id, block FROM usage_request WHERE started_at_us >= ? AND started_at_us < ?"
        )
        rows = snapshot.rows(f"{select} ORDER BY started_at_us, id LIMIT ?", begin, until_us, size + 1)
        end = until_us
        if len(rows) > size:
            end = rows[-1][0]
            if end == rows[0][0]:  # more than a stretch in one microsecond
                end += 1
                rows = snapshot.rows(select, begin, end)
        return Part([(at, id_, block) for at, id_, block in rows if at < end], end)

    def add_part(self, writing: LedgerTransaction, part: Part, buckets: Mapping[int, bytes]) -> None:
        """Adds a part, as the content of each bucket, and moves the position to its end."""
        if part.requests:
            since = part.requests[0][0]
            self.add(writing, ((bucket, since, part.until_us, data) for bucket, data in sorted(buckets.items())))
        writing.insert(f"{self.table}_position", _POSITION, [(1, part.until_us)], _MOVE)

    def add(self, writing: LedgerTransaction, rows: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Adds rows (bucket, beginning, end, content) to those with the same bucket and beginning."""
        table = self.table
        joined = f"{table}.{self._content} || excluded.{self._content}"
        if writing.is_sqlite:
            joined = f"CAST({joined} AS BLOB)"  # otherwise a text
        longer = f"CASE WHEN excluded.until_us > {table}.until_us THEN excluded.until_us ELSE {table}.until_us END"
        added = f"ON CONFLICT (bucket, since_us) DO UPDATE SET {self._content} = {joined}, until_us = {longer}"
        writing.insert(table, self._columns, list(rows), added)

    def overlapping(
        self, snapshot: DatabaseSnapshot, bucket: int, since_us: int, before_us: int
    ) -> list[tuple[int, int, bytes]]:
        """Returns the beginning, the end and the content of a bucket's rows for [`since_us`, `before_us`)."""
        return snapshot.rows(
            f"SELECT since_us, until_us, {self._content} FROM {self.table} "  # noqa: S608 - as above
            "WHERE bucket = ? AND since_us < ? AND until_us > ?",
            bucket,
            before_us,
            since_us,
        )

    def remove(self, writing: LedgerTransaction, before_us: int) -> None:
        """Removes the index of requests that began before `before_us`."""
        writing.many(
            f"DELETE FROM {self.table} WHERE bucket = ? AND since_us < ? AND until_us <= ?",  # noqa: S608 - as above
            [(bucket, before_us, before_us) for bucket in range(BUCKETS)],
        )
