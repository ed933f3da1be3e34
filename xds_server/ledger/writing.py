"""Appends records and what they add to the roll-ups, in one transaction."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from xds_server.ledger import blocks, contributions, daily, outcomes, request_ids, slots, users
from xds_server.ledger.connection import LedgerTransaction, on_conflict_add, where_in
from xds_server.ledger.daily import Ids
from xds_server.ledger.rollup import MAX_TAGS, SUMS, Hour, Series, Totals, roll_up
from xds_server.usage import histogram
from xds_server.usage.records import HOUR_US, Columns

#: Columns with their types.
_TAG = {"hour": "integer", "organisation_id": "text", "tag": "text"}
_SERIES = {
    "digest": "bytea",
    **dict.fromkeys(Series._fields, "text"),
    "last_hour": "integer",
    "group_id": "bigint",
}
#: The last hour of a group, which has none: groups are never too old.
_ALWAYS = 2**31 - 1
_HOUR_KEY = {"series_id": "bigint", "day": "integer", "hour": "integer"}
_HOUR = {**_HOUR_KEY, **dict.fromkeys(SUMS, "bigint")}
_UNIT = {**_HOUR_KEY, "unit": "text", "amount": "bigint"}
_FIRST_BYTE = {"series_id": "bigint", "hour": "integer", "histogram": "bytea"}
_ADD_HOUR = on_conflict_add("usage_hour", _HOUR_KEY, SUMS)
_ADD_UNIT = on_conflict_add("usage_unit", (*_HOUR_KEY, "unit"), ["amount"])
_PUT_FIRST_BYTE = "ON CONFLICT (series_id, hour) DO UPDATE SET histogram = excluded.histogram"


def append(writing: LedgerTransaction, batch: Columns) -> int:
    """Stores the records of a batch that are new, and counts only these. Returns how many they were."""
    new, block_of = blocks.append(writing, batch)
    if not new["id"]:
        return 0
    hours = roll_up(new, _admit_tags(writing, new))
    ids = _ids(writing, hours)
    series = {each: found.series for each, found in ids.items()}
    sums = [(series[at.series], at.hour // 24, at.hour, *totals.sums) for at, totals in hours.items()]
    writing.insert("usage_hour", _HOUR, sorted(sums), _ADD_HOUR)
    units = [
        (series[at.series], at.hour // 24, at.hour, *unit)
        for at, totals in hours.items()
        for unit in totals.units.items()
    ]
    writing.insert("usage_unit", _UNIT, sorted(units), _ADD_UNIT)
    _add_first_bytes(writing, {(series[at.series], at.hour): totals for at, totals in hours.items()})
    daily.add_late(writing, {(ids[at.series], at.hour): totals for at, totals in hours.items()})
    request_ids.add_late(writing, new)
    users.add_late(writing, new)
    outcomes.append(writing, new, block_of.__getitem__)
    contributions.append(writing, new)
    slots.append(writing, new, time.time())
    return len(new["id"])


def _admit_tags(writing: LedgerTransaction, batch: Columns) -> dict[tuple[int, str], set[str]]:
    """Returns the tags that each hour of each organisation may have, including those of `batch` that still fit."""
    if not any(batch["tag"]):
        return {}
    admitted: dict[tuple[int, str], set[str]] = {}
    added: list[tuple[int, str, str]] = []
    for started, organisation, tag in zip(
        batch["started_at_us"], batch["organisation_id"], batch["tag"], strict=True
    ):
        if not tag:
            continue
        at = (started // HOUR_US, organisation)
        if at not in admitted:
            stored = writing.rows("SELECT tag FROM usage_tag WHERE hour = ? AND organisation_id = ?", *at)
            admitted[at] = {str(each) for (each,) in stored}
        if tag not in admitted[at] and len(admitted[at]) < MAX_TAGS:
            admitted[at].add(tag)
            added.append((*at, tag))
    writing.insert("usage_tag", _TAG, added)
    return admitted


def _ids(writing: LedgerTransaction, hours: Iterable[Hour]) -> dict[Series, Ids]:
    """Returns the ids, creating missing series; raises `last_hour` if the batch is later."""
    newest: dict[Series, int] = {}
    for at in hours:
        newest[at.series] = max(at.hour, newest.get(at.series, at.hour))
    digests = {series.digest(): series for series in newest}
    select = "SELECT digest, id, group_id, last_hour FROM usage_series WHERE digest"
    found = {bytes(digest): (Ids(*ids), last) for digest, *ids, last in where_in(writing, select, digests)}
    missing = [digest for digest in digests if digest not in found]
    groups = _groups(writing, {digests[digest].group for digest in missing})
    made = [
        (digest, *series, newest[series], groups[series.group])
        for digest, series in ((each, digests[each]) for each in missing)
    ]
    writing.insert("usage_series", _SERIES, made)
    late = [
        (newest[digests[digest]], ids.series)
        for digest, (ids, last) in found.items()
        if last < newest[digests[digest]]
    ]
    writing.many("UPDATE usage_series SET last_hour = ? WHERE id = ?", late)
    found |= {bytes(digest): (Ids(*ids), last) for digest, *ids, last in where_in(writing, select, missing)}
    return {series: found[digest][0] for digest, series in digests.items()}


def _groups(writing: LedgerTransaction, wanted: Collection[Series]) -> dict[Series, int]:
    """Returns the ids of groups, creating missing ones. Groups are kept for ever, and never appear too old."""
    digests = {group.group_digest(): group for group in wanted}
    select = "SELECT digest, id FROM usage_series WHERE digest"
    found = {bytes(digest): id_ for digest, id_ in where_in(writing, select, digests)}
    missing = [digest for digest in digests if digest not in found]
    writing.insert("usage_series", _SERIES, [(digest, *digests[digest], _ALWAYS, None) for digest in missing])
    found |= {bytes(digest): id_ for digest, id_ in where_in(writing, select, missing)}
    return {group: found[digest] for digest, group in digests.items()}


def _add_first_bytes(writing: LedgerTransaction, counted: Mapping[tuple[int, int], Totals]) -> None:
    """Adds histograms; `counted` is by series id and hour."""
    wanted = sorted(at for at, totals in counted.items() if totals.first_bytes)
    if not wanted:
        return
    # Not `(series_id, hour) IN (VALUES …)`: SQLite would read the whole table for it.
    stored = writing.rows(
        f"WITH wanted (series_id, hour) AS (VALUES {', '.join(['(?, ?)'] * len(wanted))}) "  # noqa: S608
        "SELECT f.series_id, f.hour, f.histogram FROM wanted w CROSS JOIN usage_first_byte f "
        "WHERE f.series_id = w.series_id AND f.hour = w.hour",
        *(number for at in wanted for number in at),
    )
    before = {(series_id, hour): bytes(encoded) for series_id, hour, encoded in stored}
    rows = [(*at, histogram.added(before.get(at, b""), counted[at].first_bytes)) for at in wanted]
    writing.insert("usage_first_byte", _FIRST_BYTE, rows, _PUT_FIRST_BYTE)
