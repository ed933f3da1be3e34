"""Finds single requests in the raw records: the heaviest ones, and all of them in order."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from xds_server.ledger import blocks
from xds_server.ledger.query import Filter
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import records
from xds_server.usage.records import Row

#: Blocks that are read at a time, at first and at most: often the first few are enough.
_FEW, _MANY = 8, 256
#: Above every value.
_ABOVE = 1 << 62
_HOUR = 3_600


class Cursor(NamedTuple):
    """The point where a page ended."""

    started_at_us: int = 0
    id: str = ""


class _Heavy(NamedTuple):
    """A request's value, and where the request is stored."""

    value: int
    block: int
    position: int


class Heaviest(NamedTuple):
    """The heaviest requests, heaviest first. The search covered all requests since `complete_since` (Unix
    seconds); 0 if it covered all.
    """

    rows: list[Row]
    complete_since: int


def top(snapshot: DatabaseSnapshot, wanted: Filter, by: str, limit: int, most: int = _ABOVE) -> Heaviest:
    """Returns the `limit` highest by one of blocks.ORDERS. The search ends after it has opened `most` records.

    It goes from the newest hour to the oldest. Each hour is read from the block with the highest value down to
    values that can still be among the highest of all; the other blocks are not opened. (With a filter that few
    requests match, they are.)
    """
    found: list[_Heavy] = []
    opened = 0
    for hour, of_hour in _hours(snapshot, wanted, by):
        least = found[-1].value if len(found) == limit else -1
        if of_hour <= least:
            continue
        for highest, block, data in _by_their_highest(snapshot, hour, by, least):
            if len(found) == limit and highest <= found[-1].value:
                break
            if opened > most:
                return Heaviest(_rows(snapshot, found), (hour + 1) * _HOUR)
            requests = blocks.decode(data)
            opened += len(requests["id"])
            values = blocks.order(requests, by)
            matching = (_Heavy(values[index], block, index) for index in wanted.matching(requests))
            found = heapq.nlargest(limit, [*found, *matching])
    return Heaviest(_rows(snapshot, found), 0)


def page(snapshot: DatabaseSnapshot, wanted: Filter, after: Cursor, size: int) -> tuple[list[Row], Cursor | None]:
    """Returns the matches among the next `size` records, in the order of their starts, and where they end; None if
    there are no more.
    """
    times = wanted.times_us
    listed = snapshot.rows(
        "SELECT started_at_us, id, block FROM usage_request "
        "WHERE (started_at_us, id) > (?, ?) AND started_at_us < ? ORDER BY started_at_us, id LIMIT ?",
        *max(after, Cursor(times.start)),
        times.stop,
        size,
    )
    by_block: defaultdict[int, dict[tuple[int, str], int]] = defaultdict(dict)
    for place, (at, id_, block) in enumerate(listed):
        by_block[block][at, id_] = place
    found: dict[int, Row] = {}
    for block, places in by_block.items():
        requests = blocks.opened(snapshot, block)
        keys = list(zip(requests["started_at_us"], requests["id"], strict=True))
        chosen = [index for index in wanted.matching(requests) if keys[index] in places]
        for index, row in zip(chosen, records.rows(records.chosen(requests, chosen)), strict=True):
            found[places[keys[index]]] = row
    return [found[place] for place in sorted(found)], Cursor(*listed[-1][:2]) if len(listed) == size else None


def _rows(snapshot: DatabaseSnapshot, found: list[_Heavy]) -> list[Row]:
    rows = {block: records.rows(blocks.opened(snapshot, block)) for block in {each.block for each in found}}
    return [rows[each.block][each.position] for each in found]


def _by_their_highest(
    snapshot: DatabaseSnapshot, hour: int, by: str, least: int
) -> Iterator[tuple[int, int, bytes]]:
    """Yields the highest value, the id and the data of each of an hour's blocks that exceed `least`, highest
    first.
    """
    after, size = (_ABOVE, 0), _FEW
    while True:
        found = snapshot.rows(
            f"SELECT {by}, id, data FROM usage_block WHERE hour = ? AND {by} > ? AND ({by}, id) < (?, ?) "  # noqa: S608
            f"ORDER BY {by} DESC, id DESC LIMIT ?",
            hour,
            least,
            *after,
            size,
        )
        yield from found
        if len(found) < size:
            return
        after, size = (found[-1][0], found[-1][1]), min(2 * size, _MANY)


def _hours(snapshot: DatabaseSnapshot, wanted: Filter, by: str) -> list[tuple[int, int]]:
    """Returns the hours that have records, newest first, with the highest value of each. It steps from one such
    hour to the next: a request with a wrong clock may be decades away.
    """
    found = snapshot.rows(
        "WITH RECURSIVE hours (hour) AS ("  # noqa: S608 - one of blocks.ORDERS
        "SELECT MAX(hour) FROM usage_block WHERE hour <= ? UNION ALL "
        "SELECT (SELECT MAX(b.hour) FROM usage_block b WHERE b.hour < hours.hour) FROM hours WHERE hour >= ?) "
        f"SELECT hour, (SELECT MAX(b.{by}) FROM usage_block b WHERE b.hour = hours.hour) FROM hours "
        "WHERE hour >= ?",
        wanted.last_hour,
        wanted.first_hour,
        wanted.first_hour,
    )
    return sorted(found, reverse=True)
