"""An index of requests by how they ended, for those that did not end as most do, with status 200.

It has a row for each HTTP status other than 200, and others for what an operator cancelled and for reservations
that expired, in the order of time. So failures are found without a look at the requests around them, however few
they are; and a ledger whose requests succeed pays nothing for it.

Blocks of earlier versions are indexed in the background, the newest hour first.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

from xds_server.ledger import blocks, series
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.query import Filter
from xds_server.ledger.requests import Cursor
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.records import HOUR_US, Columns

#: The status of most requests, which is not indexed.
USUAL = 200
#: The outcomes that are not HTTP statuses.
CANCELLED, EXPIRED = -1, -2
_FLAGS = {CANCELLED: "cancelled", EXPIRED: "expired"}
_ERROR = 400

_COLUMNS = {
    "outcome": "integer",
    "started_at_us": "bigint",
    "id": "text",
    "block": "bigint",
    "series_id": "bigint",
    "user_hash": "bigint",
}
#: Records that one transaction examines: it holds the write lock for some ten milliseconds.
_RECORDS = 10_000


class Outcomes(NamedTuple):
    """Selects requests by how they ended: HTTP statuses in `ranges`, 0 for no answer, or CANCELLED or EXPIRED."""

    ranges: tuple[range, ...] = (range(1 << 31),)

    @property
    def is_any(self) -> bool:
        """Returns whether every request matches."""
        return self == ANY

    @property
    def is_indexed(self) -> bool:
        """Returns whether the index has every request that matches."""
        return not any(USUAL in each for each in self.ranges)

    @property
    def are_errors(self) -> bool:
        """Returns whether all that match are requests that reports count as errors."""
        return all(each.start >= _ERROR or each.start == EXPIRED for each in self.ranges)

    def has(self, outcome: int) -> bool:
        """Returns whether requests with this outcome match."""
        return any(outcome in each for each in self.ranges)

    def may_be_in(self, block: blocks.Written) -> bool:
        """Returns whether a block may have a match, which is quicker to see than which."""
        if self.is_any or any(self.has(outcome) and not block.has_no(name) for outcome, name in _FLAGS.items()):
            return True
        return any(map(self.has, set(block.statuses)))

    def matching(self, requests: Columns) -> Callable[[int], bool]:
        """Returns whether a request matches, by its index in the columns of its block."""
        if self.is_any:
            return lambda index: True
        flags = [requests[name] for outcome, name in _FLAGS.items() if self.has(outcome)]
        statuses = requests["status"]
        return lambda index: self.has(statuses[index]) or any(flag[index] for flag in flags)


ANY = Outcomes()
FAILED = Outcomes((range(1), range(_ERROR, 1 << 31)))


def of(*outcomes: int) -> Outcomes:
    """Returns the outcomes with these numbers."""
    return Outcomes(tuple(range(each, each + 1) for each in outcomes))


def append(writing: LedgerTransaction, batch: Columns, block_of: Callable[[int], int]) -> None:
    """Indexes the records of `batch`; `block_of` gives the block of an hour."""
    statuses = batch["status"]
    flagged = [name for name in _FLAGS.values() if any(batch[name])]
    if not flagged and statuses.count(USUAL) == len(statuses):
        return
    unusual = [
        (index, outcome)
        for index, status in enumerate(statuses)
        for outcome in _outcomes(batch, index, status)
        if outcome != USUAL
    ]
    places = [index for index, _ in unusual]
    rows = [
        (
            outcome,
            batch["started_at_us"][index],
            batch["id"][index],
            block_of(batch["started_at_us"][index] // HOUR_US),
            number,
            user_hash(batch["end_user"][index]),
        )
        for (index, outcome), number in zip(unusual, series.numbers(writing, batch, places), strict=True)
    ]
    writing.insert("usage_outcome", _COLUMNS, sorted(rows), "ON CONFLICT DO NOTHING")


def newest(
    snapshot: DatabaseSnapshot,
    wanted: Outcomes,
    among: Filter,
    user: str,
    *,
    id_prefix: str,
    since_us: int,
    before: Cursor,
    limit: int,
) -> list[tuple[int, str, int]]:
    """Returns the start, id and block of the newest requests that may match, up to `limit`, newest first."""
    condition = ""
    arguments: tuple[object, ...] = ()
    if not among.is_of_all_series:
        chosen = series.selected(among)
        numbers = f"SELECT {series.UNKNOWN} UNION ALL SELECT s.id FROM usage_series s WHERE {chosen.sql}"  # noqa: S608
        condition, arguments = f" AND series_id IN ({numbers})", chosen.arguments
    if user:
        condition, arguments = f"{condition} AND user_hash = ?", (*arguments, user_hash(user))
    if id_prefix:
        condition, arguments = f"{condition} AND substr(id, 1, ?) = ?", (*arguments, len(id_prefix), id_prefix)
    found: list[tuple[int, str, int]] = []
    for outcome in _stored(snapshot):
        if wanted.has(outcome):
            found += snapshot.rows(
                "SELECT started_at_us, id, block FROM usage_outcome "  # noqa: S608 - conditions are made here
                f"WHERE outcome = ? AND (started_at_us, id) < (?, ?) AND started_at_us >= ?{condition} "
                "ORDER BY started_at_us DESC, id DESC LIMIT ?",
                outcome,
                *before,
                since_us,
                *arguments,
                limit,
            )
    return heapq.nlargest(limit, set(found))


def complete_since(snapshot: DatabaseSnapshot) -> int:
    """Returns the time (Unix microseconds) from which on every request is indexed; 0 if all are."""
    rows = snapshot.rows("SELECT hour FROM usage_outcome_position")
    return int(rows[0][0]) * HOUR_US if rows else 0


def missing_hours(snapshot: DatabaseSnapshot) -> int:
    """Returns how many hours lie between the oldest block and the indexed ones."""
    ((missing,),) = snapshot.rows(
        "SELECT COALESCE((SELECT hour FROM usage_outcome_position) - (SELECT MIN(hour) FROM usage_block), 0)"
    )
    return int(missing)


def advance(writing: LedgerTransaction) -> int | None:
    """Indexes further blocks that were stored before there was this index. Returns how many hours are left; None
    if nothing is.
    """
    rows = writing.rows("SELECT hour, block, last_block FROM usage_outcome_position")
    if not rows:
        return None
    hour, after, last = rows[0]
    ((next_hour,),) = writing.rows("SELECT MAX(hour) FROM usage_block WHERE hour < ?", hour)
    if next_hour is None:
        writing.run("DELETE FROM usage_outcome_position")
        return None
    ids = writing.rows("SELECT id FROM usage_block WHERE hour = ?", next_hour)
    left = sorted(int(id_) for (id_,) in ids if after < id_ <= last)
    examined = 0
    while left and examined < _RECORDS:
        after = left.pop(0)
        examined += _fill(writing, after)
    if not left:
        hour, after = next_hour, 0
    writing.run("UPDATE usage_outcome_position SET hour = ?, block = ?", hour, after)
    return missing_hours(writing)


def remove(writing: LedgerTransaction, before_us: int, batch: int) -> int:
    """Removes up to `batch` rows of requests that began before `before_us`. Returns how many."""
    removed = 0
    for outcome in _stored(writing):
        removed += writing.run(
            "DELETE FROM usage_outcome WHERE outcome = ? AND (started_at_us, id) IN ("
            "SELECT started_at_us, id FROM usage_outcome WHERE outcome = ? AND started_at_us < ? "
            "ORDER BY started_at_us, id LIMIT ?)",
            *(outcome, outcome, before_us, batch - removed),
        )
    return removed


def user_hash(user: str) -> int:
    """Returns the number that stands for a client's `user`."""
    return crc32(user.encode()) if user else 0


def _outcomes(batch: Columns, index: int, status: int) -> Sequence[int]:
    return (status, *(outcome for outcome, name in _FLAGS.items() if batch[name][index]))


def _stored(snapshot: DatabaseSnapshot) -> list[int]:
    """Returns the outcomes that occur, stepping from one to the next."""
    rows = snapshot.rows(
        "WITH RECURSIVE found (outcome) AS (SELECT MIN(outcome) FROM usage_outcome UNION ALL "
        "SELECT (SELECT MIN(o.outcome) FROM usage_outcome o WHERE o.outcome > found.outcome) FROM found "
        "WHERE outcome IS NOT NULL) SELECT outcome FROM found WHERE outcome IS NOT NULL"
    )
    return [int(outcome) for (outcome,) in rows]


def _fill(writing: LedgerTransaction, block: int) -> int:
    """Indexes a stored block. Returns how many records it has."""
    written = blocks.written(writing, block)
    statuses = written.statuses
    if written.has_no(*_FLAGS.values()) and statuses.count(USUAL) == len(statuses):
        return len(statuses)
    batch = written.decoded
    append(writing, batch, lambda hour: block)
    return len(batch["id"])
