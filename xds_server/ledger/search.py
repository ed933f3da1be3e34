"""Finds single requests, newest first, by what an operator remembers of one: id, key, tag, model, user, status.

Each step of a search examines those requests that an index knows of: by id, by how they ended, by user. The sums
by hour show in which hours a key, a model, a target or a tag was used, so the others are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import orjson

from xds_server.ledger import blocks, outcomes, request_ids, series, users
from xds_server.ledger.connection import where_in
from xds_server.ledger.outcomes import Outcomes
from xds_server.ledger.query import Filter
from xds_server.ledger.requests import Cursor
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import records
from xds_server.usage.records import HOUR_US, Columns, Row

#: Requests that one step examines, those that an index found, and hours if only ids are compared.
_STEP, _FOUND, _STEP_HOURS = 1_000, 100, 6
#: After every request.
NEWEST = Cursor(1 << 62, "")


@dataclass(frozen=True, slots=True)
class Search:
    """Selects requests. An empty `id_prefix` or `end_user` matches all."""

    filter: Filter = field(default_factory=Filter)
    id_prefix: str = ""
    end_user: str = ""
    outcomes: Outcomes = outcomes.ANY

    @property
    def texts(self) -> tuple[bytes, ...]:
        """Returns the texts that every block with a match contains: a block that lacks one need not be read."""
        found = [orjson.dumps(each) for each in (*self.filter.given.values(), self.end_user) if each]
        return (*found, orjson.dumps(self.id_prefix)[:-1]) if self.id_prefix else tuple(found)

    def matching(self, requests: Columns) -> Iterator[int]:
        """Yields the indices of the `requests` that match."""
        ids, end_users = requests["id"], requests["end_user"]
        ended = self.outcomes.matching(requests)
        for index in self.filter.matching(requests):
            if self.end_user and end_users[index] != self.end_user:
                continue
            if ids[index].startswith(self.id_prefix) and ended(index):
                yield index


class Searching:
    """Runs one search in steps, and remembers the latest hour that can have matches."""

    def __init__(self, wanted: Search) -> None:
        self._wanted = wanted
        self._hour: int | None = None

    def step(self, snapshot: DatabaseSnapshot, before: Cursor) -> tuple[list[Row], Cursor | None]:
        """Examines some requests from `before` on down. Returns those that match, newest first, and where the next
        step begins; None if nothing is left.
        """
        wanted = self._wanted
        before = min(before, Cursor(wanted.filter.times_us.stop))
        by_id = len(wanted.id_prefix) >= request_ids.INDEXED
        if wanted.outcomes.is_indexed and not by_id:
            complete = outcomes.complete_since(snapshot)
            if before > Cursor(complete):
                return step_by_outcome(snapshot, wanted, before, complete)
        if self._hour is None or _hour_before(before) < self._hour:
            self._hour = latest_hour(snapshot, wanted, before)
            if self._hour is None:
                return [], None
            before = min(before, Cursor((self._hour + 1) * HOUR_US))
        if wanted.end_user and not by_id:
            indexed = users.INDEX.indexed_until(snapshot)
            if before <= Cursor(indexed):
                return step_by_user(snapshot, wanted, before)
            return step(snapshot, wanted, before, not_before=indexed)
        return step(snapshot, wanted, before)


def latest_hour(snapshot: DatabaseSnapshot, wanted: Search, before: Cursor) -> int | None:
    """Returns the last hour (since 1970), up to that of `before`, that can have matches by its sums; None if there
    is none. All hours can have them if no column of the sums is filtered: a look at every series would take long.
    """
    selected = wanted.filter
    hour = min(_hour_before(before), (selected.times_us.stop - 1) // HOUR_US)
    if selected.is_of_all_series:
        return hour
    of_series = series.selected(selected)
    ((found,),) = snapshot.rows(
        "SELECT MAX((SELECT h.hour FROM usage_hour h WHERE h.series_id = s.id AND h.day <= ? AND h.hour <= ? "  # noqa: S608
        f"AND h.requests > 0{' AND h.errors > 0' if wanted.outcomes.are_errors else ''} "
        "ORDER BY h.day DESC, h.hour DESC LIMIT 1)) FROM usage_series s "
        f"WHERE {of_series.sql} AND s.last_hour >= ?",
        *(hour // 24, hour, *of_series.arguments, selected.first_hour),
    )
    return None if found is None or found < selected.first_hour else int(found)


def step_by_outcome(
    snapshot: DatabaseSnapshot, wanted: Search, before: Cursor, complete: int
) -> tuple[list[Row], Cursor | None]:
    """Examines the requests that the index of outcomes has from `complete` on. Returns as Searching.step does."""
    start = wanted.filter.times_us.start
    since = max(start, complete)
    listed = outcomes.newest(
        snapshot,
        wanted.outcomes,
        wanted.filter,
        wanted.end_user,
        id_prefix=wanted.id_prefix,
        since_us=since,
        before=before,
        limit=_FOUND,
    )
    found = _opened(snapshot, wanted, {(at, id_): block for at, id_, block in listed})
    if len(listed) == _FOUND:
        return found, Cursor(*listed[-1][:2])
    return found, Cursor(complete) if complete > start else None


def step_by_user(snapshot: DatabaseSnapshot, wanted: Search, before: Cursor) -> tuple[list[Row], Cursor | None]:
    """Examines the requests that the index of users has. Returns as Searching.step does."""
    start = wanted.filter.times_us.start
    # Others that began in the same microsecond may be left.
    until = before.started_at_us + bool(before.id)
    starts = users.newest(snapshot, wanted.end_user, wanted.filter, range(start, until), _FOUND)
    rows = where_in(snapshot, "SELECT started_at_us, id, block FROM usage_request WHERE started_at_us", starts)
    listed = {
        (at, id_): block for at, id_, block in rows if (at, id_) < before and id_.startswith(wanted.id_prefix)
    }
    found = _opened(snapshot, wanted, listed)
    return found, Cursor(starts[-1]) if len(starts) == _FOUND else None


def step(
    snapshot: DatabaseSnapshot, wanted: Search, before: Cursor, not_before: int = 0
) -> tuple[list[Row], Cursor | None]:
    """Examines all requests of some time, or those with the id. Returns as Searching.step does; the next step
    begins at `not_before` (Unix microseconds) at the earliest.
    """
    first = _first(snapshot, wanted.filter.times_us.start)
    if first is None or before.started_at_us < first:
        return [], None
    since, condition = max(first, not_before), ""
    arguments: tuple[object, ...] = ()
    if wanted.id_prefix:
        part = _where_id_may_be(snapshot, wanted.id_prefix, first, before)
        if part is None:
            return [], None
        since, before = part
        condition, arguments = " AND substr(id, 1, ?) = ?", (len(wanted.id_prefix), wanted.id_prefix)
    listed = snapshot.rows(
        "SELECT started_at_us, id, block FROM usage_request "  # noqa: S608 - the condition is one of two above
        f"WHERE (started_at_us, id) < (?, ?) AND started_at_us >= ?{condition} "
        "ORDER BY started_at_us DESC, id DESC LIMIT ?",
        *before,
        since,
        *arguments,
        _STEP,
    )
    found = _opened(snapshot, wanted, {(at, id_): block for at, id_, block in listed})
    if len(listed) == _STEP:
        return found, Cursor(*listed[-1][:2])
    return found, Cursor(since) if since > first else None


def _hour_before(before: Cursor) -> int:
    """Returns the hour of the last moment before the cursor."""
    return (before.started_at_us - (not before.id)) // HOUR_US


def _where_id_may_be(
    snapshot: DatabaseSnapshot, id_prefix: str, first: int, before: Cursor
) -> tuple[int, Cursor] | None:
    """Returns the next part of the time to search for an id, as its beginning and where the search starts in it.

    What is not indexed, or not by so few characters, is searched in steps of some hours. Blocks without the id are
    not opened either way.
    """
    newest = min(before.started_at_us, _newest(snapshot) + 1)
    indexed = request_ids.INDEX.indexed_until(snapshot) if len(id_prefix) >= request_ids.INDEXED else 0
    if newest > indexed:
        return max(first, indexed, newest - _STEP_HOURS * HOUR_US), before
    part = request_ids.latest(snapshot, id_prefix, first, before.started_at_us + bool(before.id))
    return None if part is None else (part.since_us, min(before, Cursor(part.until_us)))


def _opened(snapshot: DatabaseSnapshot, wanted: Search, listed: dict[tuple[int, str], int]) -> list[Row]:
    found: list[Row] = []
    texts = wanted.texts
    for block in set(listed.values()):
        written = blocks.written(snapshot, block)
        if not written.has(texts) or not wanted.outcomes.may_be_in(written):
            continue
        requests = written.decoded
        keys = list(zip(requests["started_at_us"], requests["id"], strict=True))
        chosen = [index for index in wanted.matching(requests) if keys[index] in listed]
        found += records.rows(records.chosen(requests, chosen))
    return sorted(found, key=lambda row: (row.started_at_us, row.id), reverse=True)


def _first(snapshot: DatabaseSnapshot, start: int) -> int | None:
    """Returns when the oldest request from `start` on began."""
    ((found,),) = snapshot.rows("SELECT MIN(started_at_us) FROM usage_request WHERE started_at_us >= ?", start)
    return cast("int | None", found)


def _newest(snapshot: DatabaseSnapshot) -> int:
    ((found,),) = snapshot.rows("SELECT MAX(started_at_us) FROM usage_request")
    return cast("int", found)
