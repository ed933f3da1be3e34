"""Sums by day, computed from the sums by hour when a day is over: a report on a year then reads a 24th of the
rows.

The sums are complete up to a position, which is a day and a series of that day; everything after it is read by the
hour. One transaction makes the next sums and moves the position, so nothing is counted twice if a process dies or
two run at once. A record that arrives for a day before the position is added to the hour and to the day at once.

The days after the position that have records are listed in usage_open_day. To find the next one among the sums by
hour would mean a look at every series.

Each series' group (an organisation's model) has sums by day, too: most reports need nothing finer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import add
from typing import NamedTuple

from xds_server.ledger.connection import LedgerTransaction, on_conflict_add
from xds_server.ledger.rollup import SUMS, Totals
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import histogram

#: A position after every series of its day.
ALL_SERIES = (1 << 62) - 1
#: A day after all others.
NEVER = 1 << 30

#: Columns with their types.
_KEY = {"series_id": "bigint", "day": "integer"}
_DAY = {**_KEY, **dict.fromkeys(SUMS, "bigint")}
_UNIT = {**_KEY, "unit": "text", "amount": "bigint"}
_FIRST_BYTE = {**_KEY, "histogram": "bytea"}
_ADD_DAY = on_conflict_add("usage_day", _KEY, SUMS)
_ADD_UNIT = on_conflict_add("usage_day_unit", (*_KEY, "unit"), ["amount"])
_PUT_FIRST_BYTE = "ON CONFLICT (series_id, day) DO UPDATE SET histogram = excluded.histogram"
_KNOWN = "ON CONFLICT (day) DO NOTHING"
_SUMMED = ", ".join(f"SUM({name})" for name in SUMS)


class Ids(NamedTuple):
    """A series and its group, as numbers of usage_series."""

    series: int
    group: int


class DailyPosition(NamedTuple):
    """The point up to which, in this order, all sums by day exist."""

    day: int
    series_id: int

    @property
    def complete_day(self) -> int:
        """Returns the last day of which nothing is missing."""
        return self.day if self.series_id == ALL_SERIES else self.day - 1


def position(snapshot: DatabaseSnapshot) -> DailyPosition:
    """Returns how far the sums by day go; before all days if there are none yet."""
    rows = snapshot.rows("SELECT day, series_id FROM usage_day_position")
    return DailyPosition(*rows[0]) if rows else DailyPosition(-1, ALL_SERIES)


def advance(writing: LedgerTransaction, today: int, batch: int) -> DailyPosition | None:
    """Sums up to `batch` series of the first day that has no sums yet. Returns the new position; None if only
    `today` and later days are left.
    """
    at = position(writing)
    day, after = at
    ids = _series_after(writing, day, after, batch)
    if not ids:
        day, after = _next_day(writing, at.day), 0
        if day >= today:
            _move(writing, max(at, DailyPosition(today - 1, ALL_SERIES)))
            return None
        ids = _series_after(writing, day, after, batch)
    _sum(writing, day, after, ids[-1])
    reached = DailyPosition(day, ids[-1] if len(ids) == batch else ALL_SERIES)
    _move(writing, reached)
    return reached


def first_missing(snapshot: DatabaseSnapshot) -> int:
    """Returns the first day after the position that has sums by hour; NEVER if there is none."""
    return _next_day(snapshot, position(snapshot).complete_day)


def add_late(writing: LedgerTransaction, added: Mapping[tuple[Ids, int], Totals]) -> None:
    """Adds new usage to the days that have sums already, and lists the other days as open. `added` is what the
    hours have gained, by series and hour.
    """
    reached = position(writing)
    still_open: set[int] = set()
    days: dict[tuple[int, int], list[int]] = {}
    units: defaultdict[tuple[int, int, str], int] = defaultdict(int)
    counted: defaultdict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for (ids, hour), totals in added.items():
        day = hour // 24
        if (day, ids.series) > reached:
            still_open.add(day)
            continue
        for id_ in ids:
            days[id_, day] = list(map(add, days.get((id_, day), [0] * len(SUMS)), totals.sums))
            for unit, amount in totals.units.items():
                units[id_, day, unit] += amount
        histogram.add(counted[ids.series, day], totals.first_bytes.items())
    writing.insert("usage_open_day", {"day": "integer"}, [(day,) for day in sorted(still_open)], _KNOWN)
    if not days:
        return
    writing.insert("usage_day", _DAY, sorted((*key, *sums) for key, sums in days.items()), _ADD_DAY)
    writing.insert("usage_day_unit", _UNIT, sorted((*key, amount) for key, amount in units.items()), _ADD_UNIT)
    rows = []
    for (id_, day), counts in sorted(counted.items()):
        stored = writing.rows(
            "SELECT histogram FROM usage_day_first_byte WHERE series_id = ? AND day = ?", id_, day
        )
        before = bytes(stored[0][0]) if stored else b""
        rows.append((id_, day, histogram.added(before, counts)))
    writing.insert("usage_day_first_byte", _FIRST_BYTE, rows, _PUT_FIRST_BYTE)


def remove(writing: LedgerTransaction, ids: Sequence[int], day: int) -> None:
    """Removes the sums of the days before `day` of some series."""
    for table in ("usage_day", "usage_day_unit", "usage_day_first_byte"):
        writing.many(f"DELETE FROM {table} WHERE series_id = ? AND day < ?", [(id_, day) for id_ in ids])  # noqa: S608


def _series_after(snapshot: DatabaseSnapshot, day: int, after: int, batch: int) -> list[int]:
    """Returns the next series that may have sums on `day`."""
    rows = snapshot.rows(
        "SELECT id FROM usage_series WHERE id > ? AND group_id IS NOT NULL AND last_hour >= ? ORDER BY id LIMIT ?",
        after,
        day * 24,
        batch,
    )
    return [id_ for (id_,) in rows]


def _next_day(snapshot: DatabaseSnapshot, day: int) -> int:
    """Returns the first open day after `day`. A wrong clock can leave many days without any records."""
    ((found,),) = snapshot.rows("SELECT MIN(day) FROM usage_open_day WHERE day > ?", day)
    return NEVER if found is None else int(found)


def _sum(writing: LedgerTransaction, day: int, after: int, last: int) -> None:
    """Makes the sums of one day for the series after one id up to another, and adds them to their groups."""
    between = (after, last, day)
    these = "s.id > ? AND s.id <= ? AND h.series_id = s.id AND h.day = ?"
    for table, hours, names, amounts, conflict in (
        ("usage_day", "usage_hour", ", ".join(SUMS), _SUMMED, _ADD_DAY),
        ("usage_day_unit", "usage_unit", "unit, amount", "unit, SUM(amount)", _ADD_UNIT),
    ):
        also = ", unit" if table == "usage_day_unit" else ""
        for series, source in (("s.id", hours), ("s.group_id", table)):
            writing.run(
                f"INSERT INTO {table} (series_id, day, {names}) SELECT {series}, h.day, {amounts} "  # noqa: S608
                f"FROM usage_series s CROSS JOIN {source} h WHERE {these} "
                f"GROUP BY {series}, h.day{also} {conflict}",
                *between,
            )
    encoded: defaultdict[int, list[bytes]] = defaultdict(list)
    for id_, counts in writing.rows(
        "SELECT s.id, f.histogram FROM usage_series s CROSS JOIN usage_first_byte f "
        "WHERE s.id > ? AND s.id <= ? AND f.series_id = s.id AND f.hour BETWEEN ? AND ?",
        *(after, last, day * 24, day * 24 + 23),
    ):
        encoded[id_].append(bytes(counts))
    rows = [(id_, day, histogram.encode(histogram.merge(several))) for id_, several in sorted(encoded.items())]
    writing.insert("usage_day_first_byte", _FIRST_BYTE, rows)


def _move(writing: LedgerTransaction, to: DailyPosition) -> None:
    conflict = "ON CONFLICT (id) DO UPDATE SET day = excluded.day, series_id = excluded.series_id"
    columns = {"id": "integer", "day": "integer", "series_id": "bigint"}
    writing.insert("usage_day_position", columns, [(1, *to)], conflict)
    writing.run("DELETE FROM usage_open_day WHERE day <= ?", to.complete_day)
