"""Appending records and what they add to the roll-ups, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from xds_server.ledger import contributions, histogram
from xds_server.ledger.connection import Writing
from xds_server.ledger.records import Row
from xds_server.ledger.rollup import MOST_TAGS, SUMS, Hour, Series, Totals, roll_up

_INSERT_RECORD = (
    f"INSERT INTO usage_record ({', '.join(Row._fields)}) VALUES ({', '.join('?' * len(Row._fields))})"  # noqa: S608
)
_INSERT_SERIES = (
    f"INSERT INTO usage_series (digest, {', '.join(Series._fields)}, last_hour) "  # noqa: S608
    f"VALUES ({', '.join('?' * (len(Series._fields) + 2))})"
)
_ADD_HOUR = (
    f"INSERT INTO usage_hour (series_id, day, hour, {', '.join(SUMS)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * (len(SUMS) + 3))}) ON CONFLICT (series_id, day, hour) DO UPDATE SET "
    + ", ".join(f"{name} = usage_hour.{name} + excluded.{name}" for name in SUMS)
)
_PUT_FIRST_BYTE = (
    "INSERT INTO usage_first_byte (series_id, hour, histogram) VALUES (?, ?, ?) "
    "ON CONFLICT (series_id, hour) DO UPDATE SET histogram = excluded.histogram"
)


def append(writing: Writing, rows: Sequence[Row]) -> int:
    """Stores those of `rows` whose ids are new, and counts only them. Returns how many they were."""
    first = {row.id: row for row in reversed(rows)}
    known = {id_ for (id_,) in _where_in(writing, "SELECT id FROM usage_record WHERE id", first)}
    new = [row for id_, row in first.items() if id_ not in known]
    if not new:
        return 0
    new.reverse()
    writing.many(_INSERT_RECORD, new)
    hours = roll_up(new, _admit_tags(writing, new))
    series = _series(writing, hours)
    writing.many(
        _ADD_HOUR,
        [(series[at.series], at.hour // 24, at.hour, *totals.sums) for at, totals in sorted(hours.items())],
    )
    _add_first_bytes(writing, {(series[at.series], at.hour): totals for at, totals in hours.items()})
    contributions.append(writing, new)
    return len(new)


def _where_in(writing: Writing, statement: str, values: Collection[object]) -> list[tuple[Any, ...]]:
    if not values:
        return []
    return writing.rows(f"{statement} IN ({', '.join('?' * len(values))})", *values)


def _admit_tags(writing: Writing, rows: Iterable[Row]) -> dict[tuple[int, str], set[str]]:
    """The tags that each hour of each organisation may have, with those of `rows` that still fit."""
    admitted: dict[tuple[int, str], set[str]] = {}
    added: list[tuple[int, str, str]] = []
    for row in rows:
        if not row.tag:
            continue
        at = (row.hour, row.organisation_id)
        if at not in admitted:
            stored = writing.rows("SELECT tag FROM usage_tag WHERE hour = ? AND organisation_id = ?", *at)
            admitted[at] = {str(tag) for (tag,) in stored}
        if row.tag not in admitted[at] and len(admitted[at]) < MOST_TAGS:
            admitted[at].add(row.tag)
            added.append((*at, row.tag))
    writing.many("INSERT INTO usage_tag (hour, organisation_id, tag) VALUES (?, ?, ?)", added)
    return admitted


def _series(writing: Writing, hours: Iterable[Hour]) -> dict[Series, int]:
    """The ids, made where there was none; raises `last_hour` where it is passed."""
    newest: dict[Series, int] = {}
    for at in hours:
        newest[at.series] = max(at.hour, newest.get(at.series, at.hour))
    digests = {series.digest(): series for series in newest}
    select = "SELECT digest, id, last_hour FROM usage_series WHERE digest"
    found = {bytes(digest): (id_, last) for digest, id_, last in _where_in(writing, select, digests)}
    missing = [digest for digest in digests if digest not in found]
    writing.many(_INSERT_SERIES, [(digest, *digests[digest], newest[digests[digest]]) for digest in missing])
    late = [
        (newest[digests[digest]], id_) for digest, (id_, last) in found.items() if last < newest[digests[digest]]
    ]
    writing.many("UPDATE usage_series SET last_hour = ? WHERE id = ?", late)
    made = {bytes(digest): (id_, last) for digest, id_, last in _where_in(writing, select, missing)}
    return {series: (found.get(digest) or made[digest])[0] for digest, series in digests.items()}


def _add_first_bytes(writing: Writing, counted: Mapping[tuple[int, int], Totals]) -> None:
    """`counted` by series id and hour."""
    wanted = sorted(at for at, totals in counted.items() if totals.first_bytes)
    if not wanted:
        return
    # Not `(series_id, hour) IN (VALUES …)`: for that SQLite reads the whole table.
    stored = writing.rows(
        f"WITH wanted (series_id, hour) AS (VALUES {', '.join(['(?, ?)'] * len(wanted))}) "  # noqa: S608
        "SELECT f.series_id, f.hour, f.histogram FROM wanted w CROSS JOIN usage_first_byte f "
        "WHERE f.series_id = w.series_id AND f.hour = w.hour",
        *(number for at in wanted for number in at),
    )
    before = {(series_id, hour): bytes(encoded) for series_id, hour, encoded in stored}
    writing.many(
        _PUT_FIRST_BYTE,
        [(*at, _merged(before.get(at, b""), counted[at].first_bytes)) for at in wanted],
    )


def _merged(encoded: bytes, counts: Mapping[int, int]) -> bytes:
    return histogram.encode(histogram.merge([encoded, histogram.encode(counts)]) if encoded else counts)
