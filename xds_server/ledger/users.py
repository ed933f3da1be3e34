"""An index of requests by their clients' `user`: for each request that has one, its hash, series and start."""

from __future__ import annotations

import heapq
import struct
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from xds_server.ledger import blocks, series
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.outcomes import user_hash
from xds_server.ledger.query import Filter
from xds_server.ledger.rollup import Series
from xds_server.ledger.stretches import BUCKETS, StretchIndex
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.records import Columns

INDEX = StretchIndex("usage_user", "entries")
#: Requests that one transaction indexes. Their blocks are opened for it, so they are fewer than those of an id.
STRETCH = 5_000

#: The user's hash, the number of the series, and Unix microseconds.
_ENTRY = struct.Struct(">IIQ")


def advance(writing: LedgerTransaction, until_us: int) -> int | None:
    """Indexes the next requests that began before `until_us`. Returns when the indexed ones end; None if all are
    indexed.
    """
    part = INDEX.next_part(writing, until_us, STRETCH)
    if part is None:
        return None
    by_block: defaultdict[int, set[tuple[int, str]]] = defaultdict(set)
    for at, id_, block in part.requests:
        by_block[block].add((at, id_))
    batch: dict[str, list[Any]] = {name: [] for name in ("started_at_us", "end_user", *Series._fields)}
    for block, wanted in by_block.items():
        written = blocks.written(writing, block)
        if written.has_no("end_user"):
            continue
        requests = written.decoded
        keys = zip(requests["started_at_us"], requests["id"], strict=True)
        chosen = [index for index, key in enumerate(keys) if key in wanted and requests["end_user"][index]]
        for name, column in batch.items():
            column += [requests[name][index] for index in chosen]
    buckets: defaultdict[int, bytes] = defaultdict(bytes)
    for bucket, _, entry in _entries(writing, batch, range(len(batch["end_user"]))):
        buckets[bucket] += entry
    INDEX.add_part(writing, part, buckets)
    return part.until_us if part.until_us < until_us else None


def add_late(writing: LedgerTransaction, batch: Columns) -> None:
    """Indexes the records of a batch that began in a time that is already indexed."""
    if not any(batch["end_user"]):
        return
    until = INDEX.indexed_until(writing)
    starts = batch["started_at_us"]
    chosen = [index for index, user in enumerate(batch["end_user"]) if user and starts[index] < until]
    late: defaultdict[tuple[int, int], bytes] = defaultdict(bytes)
    for bucket, at, entry in _entries(writing, batch, chosen):
        late[bucket, at] += entry
    INDEX.add(writing, ((bucket, at, at + 1, entries) for (bucket, at), entries in sorted(late.items())))


def newest(snapshot: DatabaseSnapshot, user: str, wanted: Filter, times_us: range, limit: int) -> list[int]:
    """Returns when the newest requests of a user began that may match, up to `limit`, newest first. All of the
    times are indexed.
    """
    hashed = user_hash(user)
    numbers = _numbers(snapshot, wanted)
    found = {
        at
        for _, _, entries in INDEX.overlapping(snapshot, hashed % BUCKETS, times_us.start, times_us.stop)
        for each, number, at in _ENTRY.iter_unpack(bytes(entries))
        if each == hashed and at in times_us and (numbers is None or number in numbers)
    }
    return heapq.nlargest(limit, found)


def _entries(
    writing: LedgerTransaction, batch: Mapping[str, Sequence[Any]], indices: Sequence[int]
) -> list[tuple[int, int, bytes]]:
    """Returns the bucket, the start and the entry of each of these records."""
    made = []
    for index, number in zip(indices, series.numbers(writing, batch, indices), strict=True):
        hashed, at = user_hash(batch["end_user"][index]), batch["started_at_us"][index]
        made.append((hashed % BUCKETS, at, _ENTRY.pack(hashed, number, at)))
    return made


def _numbers(snapshot: DatabaseSnapshot, wanted: Filter) -> Collection[int] | None:
    """Returns the numbers of the series that may match; None for all."""
    if wanted.is_of_all_series:
        return None
    condition = series.selected(wanted)
    rows = snapshot.rows(f"SELECT s.id FROM usage_series s WHERE {condition.sql}", *condition.arguments)  # noqa: S608
    return {series.UNKNOWN, *(int(number) for (number,) in rows)}
