"""Sums usage from the roll-ups, and compares targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from xds_server.errors import InvalidFieldError
from xds_server.ledger.query import COLUMNS, Dimension, Filter
from xds_server.ledger.rollup import SUMS
from xds_server.ledger.spans import spans
from xds_server.store.accounts import organisation_names
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import histogram
from xds_server.usage.scope import Condition

#: Rows of one report.
MAX_ROWS = 50_000

#: In the order of usage_hour's key: column, seconds, and the format of a value.
_PERIODS = {Dimension.DAY: ("day", 86_400, "%Y-%m-%d"), Dimension.HOUR: ("hour", 3_600, "%Y-%m-%dT%H:00:00Z")}


class Group(NamedTuple):
    """One line of a report: a value for each dimension, the sums in the order of rollup.SUMS, and the sums of
    rollup.UNITS that are not zero.
    """

    values: tuple[str, ...]
    sums: tuple[int, ...]
    units: Mapping[str, int]


class Comparison(NamedTuple):
    """One target's sums, in the order of rollup.SUMS, and percentiles of microseconds to the first byte."""

    target_id: str
    sums: tuple[int, ...]
    first_byte_p50_us: int
    first_byte_p95_us: int


def report(snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[Dimension]) -> list[Group]:
    """Returns groups by time if `by` has one, otherwise by cost, highest first. With an empty `by`, returns one
    group of totals.

    Raises InvalidFieldError for too many groups.
    """
    found = _sums(snapshot, wanted, by)
    units = _units(snapshot, wanted, by)
    names = {
        Dimension.ORGANISATION: organisation_names(snapshot) if Dimension.ORGANISATION in by else {},
        Dimension.KEY: key_names(snapshot) if Dimension.KEY in by else {},
    }
    groups = []
    for keys, sums in found:
        values = [
            _shown(dimension, key, names.get(dimension, {})) for dimension, key in zip(by, keys, strict=True)
        ]
        groups.append(Group(tuple(values), sums, units.get(keys, {})))
    if any(dimension in _PERIODS for dimension in by):
        return sorted(groups, key=lambda group: group.values)
    cost = SUMS.index("cost_nano_usd")
    return sorted(groups, key=lambda group: (-group.sums[cost], -group.sums[0], group.values))


def compare(snapshot: DatabaseSnapshot, wanted: Filter) -> list[Comparison]:
    """Returns comparisons by target id, including targets that only failed."""
    by = (Dimension.TARGET,)
    found = _sums(snapshot, wanted, by, failed_too=True)
    encoded: dict[str, list[bytes]] = {}
    for source in _sources(snapshot, wanted, by, "usage_first_byte", "usage_day_first_byte"):
        for target, times in snapshot.rows(f"SELECT s.target_id, h.histogram {source.sql}", *source.arguments):
            encoded.setdefault(target, []).append(times)
    compared = []
    for (target,), sums in sorted(found):
        if target:
            counts = histogram.merge(encoded.get(str(target), ()))
            p50, p95 = (histogram.percentile(counts, share) for share in (0.50, 0.95))
            compared.append(Comparison(str(target), sums, p50, p95))
    return compared


def key_names(snapshot: DatabaseSnapshot) -> dict[str, str]:
    """Returns the names of keys by id. Several revoked keys may have one name, so their names include the id."""
    rows = snapshot.rows(
        "SELECT k.id, o.name, k.name, k.revoked_at FROM api_key k JOIN organisation o ON o.id = k.organisation_id"
    )
    return {
        id_: f"{owner}/{name} ({id_})" if revoked_at else f"{owner}/{name}"
        for id_, owner, name, revoked_at in rows
    }


def _sums(
    snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[Dimension], *, failed_too: bool = False
) -> list[tuple[tuple[object, ...], tuple[int, ...]]]:
    """Groups first by series (and period), in the order in which the rows lie, then by the wanted dimensions.

    SQLite recognises that order only if the inner grouping begins with the series' own id; otherwise it sorts
    every row.
    """
    periods = [_PERIODS[dimension][0] for dimension in _PERIODS if dimension in by]
    columns = _columns(by)
    inner = ", ".join(["s.id", *(f"h.{period}" for period in periods)])
    sources = _sources(snapshot, wanted, by, "usage_hour", "usage_day")
    sums = " UNION ALL ".join(
        f"SELECT {inner}, {_summed('h.', SUMS)} {source.sql} GROUP BY {inner}" for source in sources
    )
    some = f"SUM(requests) > 0{' OR SUM(failed_attempts) > 0' if failed_too else ''}"
    grouping = f"GROUP BY {', '.join(columns)} HAVING {some} " if columns else ""
    rows = snapshot.rows(
        f"SELECT {''.join(f'{column}, ' for column in columns)}{_summed('', SUMS)} FROM ({sums}"  # noqa: S608
        f") AS sums JOIN usage_series s ON s.id = sums.id {grouping}LIMIT {MAX_ROWS + 1}",
        *(argument for source in sources for argument in source.arguments),
    )
    if len(rows) > MAX_ROWS:
        raise InvalidFieldError(
            [f"by: more than {MAX_ROWS:,} rows; request fewer dimensions, a shorter time or a narrower filter"]
        )
    width = len(by)
    return [(tuple(row[:width]), tuple(int(each or 0) for each in row[width:])) for row in rows]


def _units(
    snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[Dimension]
) -> Mapping[tuple[object, ...], Mapping[str, int]]:
    """Returns the units by the values of `by`."""
    columns = "".join(f"{column}, " for column in _columns(by))
    found: dict[tuple[object, ...], dict[str, int]] = {}
    for source in _sources(snapshot, wanted, by, "usage_unit", "usage_day_unit"):
        for *key, unit, amount in snapshot.rows(
            f"SELECT {columns}unit, SUM(amount) {source.sql} GROUP BY {columns}unit",
            *source.arguments,
        ):
            sums = found.setdefault(tuple(key), {})
            sums[str(unit)] = sums.get(str(unit), 0) + int(amount)
    return found


def _sources(
    snapshot: DatabaseSnapshot, wanted: Filter, by: Sequence[Dimension], hourly: str, daily: str
) -> list[Condition]:
    """Returns FROM and WHERE for each part of the time range, on usage_series `s` and a table of sums `h`."""
    parts = spans(snapshot, wanted, by)
    series = wanted.of_columns("s.")
    common = f"h.series_id = s.id AND s.last_hour >= ?{series.sql}"
    of_day = "" if hourly == "usage_first_byte" else "h.day BETWEEN ? AND ? AND "
    found = [
        Condition(
            f"FROM usage_series s CROSS JOIN {hourly} h WHERE {common} AND {of_day}h.hour BETWEEN ? AND ?",
            (
                *(wanted.first_hour, *series.arguments),
                *((hours.start // 24, hours[-1] // 24) if of_day else ()),
                *(hours.start, hours[-1]),
            ),
        )
        for hours in parts.hours
    ]
    if parts.days:
        days = parts.of_days
        found.append(
            Condition(
                f"FROM usage_series s CROSS JOIN {daily} h WHERE {common} AND {days.sql}",
                (wanted.first_hour, *series.arguments, *days.arguments),
            )
        )
    return found


def _columns(by: Sequence[Dimension]) -> list[str]:
    return [_PERIODS[each][0] if each in _PERIODS else f"s.{COLUMNS[each]}" for each in by]


def _summed(prefix: str, names: Sequence[str]) -> str:
    return ", ".join(f"SUM({prefix}{name}) AS {name}" for name in names)


def _shown(dimension: Dimension, key: object, names: dict[str, str]) -> str:
    if dimension in _PERIODS:
        _, seconds, form = _PERIODS[dimension]
        return datetime.fromtimestamp(int(str(key)) * seconds, UTC).strftime(form)
    return names.get(str(key), str(key))
