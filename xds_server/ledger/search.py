"""Finds single requests, newest first, by what an operator remembers of one: id, key, tag, model, status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from xds_server.ledger import blocks, request_ids
from xds_server.ledger.query import Filter
from xds_server.ledger.requests import Cursor
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import records
from xds_server.usage.records import HOUR_US, Columns, Row

#: Requests that one step examines, and hours if only ids are compared.
_STEP, _STEP_HOURS = 1_000, 6
#: After every request.
NEWEST = Cursor(1 << 62, "")

#: Returns whether a request ended in the wanted way, from the columns of its block and its index in them.
Ended = Callable[[Columns, int], bool]


def anyhow(of: Columns, index: int) -> bool:
    """Matches every request."""
    return True


@dataclass(frozen=True, slots=True)
class Search:
    """Selects requests. An empty `id_prefix` or `end_user` matches all."""

    filter: Filter = field(default_factory=Filter)
    id_prefix: str = ""
    end_user: str = ""
    ended: Ended = anyhow

    def matching(self, requests: Columns) -> Iterator[int]:
        """Yields the indices of the `requests` that match."""
        ids, users = requests["id"], requests["end_user"]
        for index in self.filter.matching(requests):
            if self.end_user and users[index] != self.end_user:
                continue
            if ids[index].startswith(self.id_prefix) and self.ended(requests, index):
                yield index


def step(snapshot: DatabaseSnapshot, wanted: Search, before: Cursor) -> tuple[list[Row], Cursor | None]:
    """Examines some requests from `before` on down. Returns those that match, newest first, and where the next
    step begins; None if nothing is left.
    """
    times = wanted.filter.times_us
    before = min(before, Cursor(times.stop))
    first = _first(snapshot, times.start)
    if first is None or before.started_at_us < first:
        return [], None
    since, condition = first, ""
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


def _where_id_may_be(
    snapshot: DatabaseSnapshot, id_prefix: str, first: int, before: Cursor
) -> tuple[int, Cursor] | None:
    """Returns the next part of the time to search for an id, as its beginning and where the search starts in it.

    What is not indexed, or not by so few characters, is searched in steps of some hours. Blocks without the id are
    not opened either way.
    """
    newest = min(before.started_at_us, _newest(snapshot) + 1)
    indexed = request_ids.indexed_until(snapshot) if len(id_prefix) >= request_ids.INDEXED else 0
    if newest > indexed:
        return max(first, indexed, newest - _STEP_HOURS * HOUR_US), before
    part = request_ids.latest(snapshot, id_prefix, first, before.started_at_us + bool(before.id))
    return None if part is None else (part.since_us, min(before, Cursor(part.until_us)))


def _opened(snapshot: DatabaseSnapshot, wanted: Search, listed: dict[tuple[int, str], int]) -> list[Row]:
    found: list[Row] = []
    for block in set(listed.values()):
        requests = blocks.opened(snapshot, block)
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
