"""Single requests from the raw records: the heaviest ones, and all of them in order."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from xds_server.ledger import records
from xds_server.ledger.query import Filter
from xds_server.ledger.records import Row
from xds_server.store.connection import Snapshot

_COLUMNS = ", ".join(Row._fields)


class Cursor(NamedTuple):
    """Where a page ended."""

    started_at_us: int = -1
    seq: int = 0


def top(snapshot: Snapshot, wanted: Filter, column: str, limit: int) -> list[Row]:
    """The `limit` highest by `column`, which is one that has an index with `hour`.

    Hour by hour, each from its highest on down to what can still be among the highest of all: the requests of the
    hours that are looked at need not be read. (With a filter that few match, they are.)
    """
    start, where = wanted.of_start(), wanted.of_columns("")
    statement = (
        f"SELECT {column}, seq FROM usage_record WHERE hour = ? AND {column} >= ? AND {start.sql}{where.sql} "  # noqa: S608
        f"ORDER BY {column} DESC LIMIT ?"
    )
    found: list[tuple[int, int]] = []
    hour = _hour_up_to(snapshot, wanted.last_hour)
    while hour is not None and hour >= wanted.first_hour:
        least = found[-1][0] if len(found) == limit else 0
        rows = snapshot.rows(statement, hour, least, *start.arguments, *where.arguments, limit)
        found = heapq.nlargest(limit, [*found, *((value, seq) for value, seq in rows)])
        hour = _hour_up_to(snapshot, hour - 1)
    if not found:
        return []
    marks = ", ".join("?" * len(found))
    rows = snapshot.rows(
        f"SELECT seq, {_COLUMNS} FROM usage_record WHERE seq IN ({marks})",  # noqa: S608
        *(seq for _, seq in found),
    )
    by_seq = {seq: records.of_columns(columns) for seq, *columns in rows}
    return [by_seq[seq] for _, seq in found]


def page(snapshot: Snapshot, wanted: Filter, after: Cursor, size: int) -> tuple[list[Row], Cursor]:
    """The oldest `size` records that begin after the cursor, and where they end."""
    start, where = wanted.of_start(), wanted.of_columns("")
    rows = snapshot.rows(
        f"SELECT seq, {_COLUMNS} FROM usage_record WHERE (started_at_us, seq) > (?, ?) AND {start.sql}{where.sql} "  # noqa: S608
        "ORDER BY started_at_us, seq LIMIT ?",
        *after,
        *start.arguments,
        *where.arguments,
        size,
    )
    found = [records.of_columns(columns) for _, *columns in rows]
    return found, Cursor(found[-1].started_at_us, rows[-1][0]) if rows else after


def _hour_up_to(snapshot: Snapshot, last: int) -> int | None:
    """The newest hour up to `last` that has records: a request with a wrong clock may lie decades away."""
    found: int | None = snapshot.rows("SELECT MAX(hour) FROM usage_record WHERE hour <= ?", last)[0][0]
    return found
