"""An index of requests by the beginnings of their ids, made in the background when records have settled.

A database's own index would touch another page for each record. This one has, for each stretch of time, a row for
each of 256 buckets, with three bytes for each request in it: enough to tell in which stretches an id may be. For a
time that is indexed, a late record gets a stretch of its own, in the transaction that stores it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple
from zlib import crc32

from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.records import Columns

#: Characters of an id that are indexed; a search needs at least this many.
INDEXED = 8
#: Requests of a stretch. One transaction indexes this many, and a search reads this many.
STRETCH = 20_000

_BUCKETS = 256
_SIZE = 3
#: Columns with their types.
_COLUMNS = {"bucket": "integer", "since_us": "bigint", "until_us": "bigint", "hashes": "bytea"}
_MOVE = "ON CONFLICT (id) DO UPDATE SET until_us = excluded.until_us"


class Stretch(NamedTuple):
    """A stretch of time in Unix microseconds, the end exclusive."""

    since_us: int
    until_us: int


def indexed_until(snapshot: DatabaseSnapshot) -> int:
    """Returns the time (Unix microseconds) before which every request is indexed."""
    rows = snapshot.rows("SELECT until_us FROM usage_id_position")
    return int(rows[0][0]) if rows else 0


def first_missing(snapshot: DatabaseSnapshot) -> int | None:
    """Returns when the first request that is not indexed began; None if there is none."""
    begin = indexed_until(snapshot)
    rows = snapshot.rows("SELECT MIN(started_at_us) FROM usage_request WHERE started_at_us >= ?", begin)
    return rows[0][0]  # type: ignore[no-any-return]


def advance(writing: LedgerTransaction, until_us: int) -> int | None:
    """Indexes the next requests that began before `until_us`. Returns when the indexed ones end; None if all are
    indexed.
    """
    begin = indexed_until(writing)
    if begin >= until_us:
        return None
    select = "SELECT started_at_us, id FROM usage_request WHERE started_at_us >= ? AND started_at_us < ?"
    rows = writing.rows(f"{select} ORDER BY started_at_us, id LIMIT ?", begin, until_us, STRETCH + 1)
    end = until_us
    if len(rows) > STRETCH:
        end = rows[-1][0]
        if end == rows[0][0]:  # more than a stretch in one microsecond
            end += 1
            rows = writing.rows(select, begin, end)
    ids = [id_ for at, id_ in rows if at < end]
    if ids:
        since = rows[0][0]
        hashes: defaultdict[int, list[bytes]] = defaultdict(list)
        for id_ in ids:
            bucket, hashed = _hash(id_)
            hashes[bucket].append(hashed)
        stretches = [(bucket, since, end, b"".join(several)) for bucket, several in sorted(hashes.items())]
        _insert(writing, stretches)
    writing.insert("usage_id_position", {"id": "integer", "until_us": "bigint"}, [(1, end)], _MOVE)
    return end if end < until_us else None


def add_late(writing: LedgerTransaction, batch: Columns) -> None:
    """Indexes the records of a batch that began in a time that is already indexed."""
    until = indexed_until(writing)
    late: dict[tuple[int, int], bytes] = {}
    for at, id_ in zip(batch["started_at_us"], batch["id"], strict=True):
        if at < until:
            bucket, hashed = _hash(id_)
            late[bucket, at] = late.get((bucket, at), b"") + hashed
    rows = [(bucket, at, at + 1, hashes) for (bucket, at), hashes in sorted(late.items())]
    _insert(writing, rows)


def latest(snapshot: DatabaseSnapshot, id_prefix: str, since_us: int, before_us: int) -> Stretch | None:
    """Returns the latest part of [`since_us`, `before_us`) in which an id with this beginning may be. The
    beginning has at least INDEXED characters, and the range is indexed.
    """
    bucket, hashed = _hash(id_prefix)
    found = (
        Stretch(max(since, since_us), min(until, before_us))
        for since, until, hashes in snapshot.rows(
            "SELECT since_us, until_us, hashes FROM usage_id WHERE bucket = ? AND since_us < ? AND until_us > ?",
            bucket,
            before_us,
            since_us,
        )
        if _has(bytes(hashes), hashed)
    )
    return max(found, key=lambda each: (each.until_us, -each.since_us), default=None)


def remove(writing: LedgerTransaction, before_us: int) -> None:
    """Removes the index of requests that began before `before_us`."""
    writing.many(
        "DELETE FROM usage_id WHERE bucket = ? AND since_us < ? AND until_us <= ?",
        [(bucket, before_us, before_us) for bucket in range(_BUCKETS)],
    )


def _insert(writing: LedgerTransaction, rows: list[tuple[int, int, int, bytes]]) -> None:
    """Adds rows to those with the same bucket and beginning."""
    joined = "usage_id.hashes || excluded.hashes"
    if writing.is_sqlite:
        joined = f"CAST({joined} AS BLOB)"  # otherwise a text
    longer = "CASE WHEN excluded.until_us > usage_id.until_us THEN excluded.until_us ELSE usage_id.until_us END"
    added = f"ON CONFLICT (bucket, since_us) DO UPDATE SET hashes = {joined}, until_us = {longer}"
    writing.insert("usage_id", _COLUMNS, rows, added)


def _hash(id_: str) -> tuple[int, bytes]:
    """Returns the bucket, and what stands for the id in it."""
    number = crc32(id_[:INDEXED].encode())
    return number % _BUCKETS, (number // _BUCKETS).to_bytes(_SIZE, "big")


def _has(hashes: bytes, wanted: bytes) -> bool:
    """Returns whether `wanted` is one of `hashes`, at one of their positions."""
    place = hashes.find(wanted)
    while place >= 0 and place % _SIZE:
        place = hashes.find(wanted, place + 1)
    return place >= 0
