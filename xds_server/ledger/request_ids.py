"""An index of requests by the beginnings of their ids: three bytes for each request, enough to tell in which
stretches of time an id may be.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple
from zlib import crc32

from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.stretches import BUCKETS, StretchIndex
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.records import Columns

#: Characters of an id that are indexed; a search needs at least this many.
INDEXED = 8
INDEX = StretchIndex("usage_id", "hashes")
#: Requests of a stretch. One transaction indexes this many, and a search by id reads this many.
STRETCH = 20_000

_SIZE = 3


class Stretch(NamedTuple):
    """A stretch of time in Unix microseconds, the end exclusive."""

    since_us: int
    until_us: int


def advance(writing: LedgerTransaction, until_us: int) -> int | None:
    """Indexes the next requests that began before `until_us`. Returns when the indexed ones end; None if all are
    indexed.
    """
    part = INDEX.next_part(writing, until_us, STRETCH)
    if part is None:
        return None
    hashes: defaultdict[int, list[bytes]] = defaultdict(list)
    for _, id_, _ in part.requests:
        bucket, hashed = _hash(id_)
        hashes[bucket].append(hashed)
    INDEX.add_part(writing, part, {bucket: b"".join(several) for bucket, several in hashes.items()})
    return part.until_us if part.until_us < until_us else None


def add_late(writing: LedgerTransaction, batch: Columns) -> None:
    """Indexes the records of a batch that began in a time that is already indexed."""
    until = INDEX.indexed_until(writing)
    late: dict[tuple[int, int], bytes] = {}
    for at, id_ in zip(batch["started_at_us"], batch["id"], strict=True):
        if at < until:
            bucket, hashed = _hash(id_)
            late[bucket, at] = late.get((bucket, at), b"") + hashed
    INDEX.add(writing, ((bucket, at, at + 1, hashes) for (bucket, at), hashes in sorted(late.items())))


def latest(snapshot: DatabaseSnapshot, id_prefix: str, since_us: int, before_us: int) -> Stretch | None:
    """Returns the latest part of [`since_us`, `before_us`) in which an id with this beginning may be. The
    beginning has at least INDEXED characters, and the range is indexed.
    """
    bucket, hashed = _hash(id_prefix)
    found = (
        Stretch(max(since, since_us), min(until, before_us))
        for since, until, hashes in INDEX.overlapping(snapshot, bucket, since_us, before_us)
        if _has(bytes(hashes), hashed)
    )
    return max(found, key=lambda each: (each.until_us, -each.since_us), default=None)


def _hash(id_: str) -> tuple[int, bytes]:
    """Returns the bucket, and what stands for the id in it."""
    number = crc32(id_[:INDEXED].encode())
    return number % BUCKETS, (number // BUCKETS).to_bytes(_SIZE, "big")


def _has(hashes: bytes, wanted: bytes) -> bool:
    """Returns whether `wanted` is one of `hashes`, at one of their positions."""
    place = hashes.find(wanted)
    while place >= 0 and place % _SIZE:
        place = hashes.find(wanted, place + 1)
    return place >= 0
