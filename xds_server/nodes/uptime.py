"""Seconds with a lease, by node and Unix hour.

They are added to what is stored every minute and at the end, in one transaction: a control plane that is killed
loses a minute at most. Where a database goes away just as it commits, that minute may be counted twice; no hour
ever has more than 3,600 seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.connection import Writing
from xds_server.nodes.moment import Clock, Moment
from xds_server.nodes.ports import LiveTables

_HOUR = 3_600
#: Seconds between two additions.
_INTERVAL = 60.0
_ADD = (
    "INSERT INTO node_uptime (node_id, hour, seconds) VALUES (?, ?, ?) ON CONFLICT (node_id, hour) "  # noqa: S608
    f"DO UPDATE SET seconds = CASE WHEN node_uptime.seconds + excluded.seconds > {_HOUR} THEN {_HOUR} "
    "ELSE node_uptime.seconds + excluded.seconds END"
)

_log = structlog.get_logger(__name__)


class Uptime:
    """Counts durations by the monotonic clock and files them under the hours of the other."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._seconds: dict[tuple[str, int], float] = {}

    def begin(self, node_id: str, now: Moment) -> None:
        """The node has a lease from now on, if it had none."""
        self._since.setdefault(node_id, now.monotonic)

    def end(self, node_id: str, now: Moment) -> None:
        """It has none any more."""
        since = self._since.pop(node_id, None)
        if since is not None:
            self._count(node_id, since, now)

    def take(self, now: Moment) -> Mapping[tuple[str, int], int]:
        """Whole seconds by node and hour since the last time; what is less than a second stays for the next."""
        for node_id, since in self._since.items():
            self._count(node_id, since, now)
            self._since[node_id] = now.monotonic
        taken = {at: int(seconds) for at, seconds in self._seconds.items() if seconds >= 1.0}
        present = int(now.unix) // _HOUR
        self._seconds = {
            (node_id, hour): seconds % 1.0
            for (node_id, hour), seconds in self._seconds.items()
            if hour >= present - 1
        }
        return taken

    def put_back(self, taken: Mapping[tuple[str, int], int]) -> None:
        """What could not be stored, for the next time."""
        for at, seconds in taken.items():
            self._seconds[at] = self._seconds.get(at, 0.0) + seconds

    def _count(self, node_id: str, since: float, now: Moment) -> None:
        """From `since` (monotonic) until `now`, hour by hour, backwards."""
        left, end = max(0.0, now.monotonic - since), now.unix
        while left > 0.0:
            hour = int(end // _HOUR)
            part = min(left, end - hour * _HOUR) or min(left, float(_HOUR))
            if end == hour * _HOUR:
                hour -= 1
            self._seconds[node_id, hour] = self._seconds.get((node_id, hour), 0.0) + part
            left -= part
            end -= part


class UptimeLog:
    """Adds what `uptime` counted to the table."""

    def __init__(self, uptime: Uptime, tables: LiveTables, clock: Clock) -> None:
        self._uptime = uptime
        self._tables = tables
        self._clock = clock

    async def run(self) -> None:
        """Every minute, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                await self.flush()
            except DatabaseUnavailableError as error:
                _log.warning("nodes' uptime waits for the database", reason=str(error))

    async def flush(self) -> None:
        """Now. Raises DatabaseUnavailableError; nothing is lost then."""
        taken = self._uptime.take(self._clock())
        if not taken:
            return
        rows = [(node_id, hour, min(seconds, _HOUR)) for (node_id, hour), seconds in sorted(taken.items())]

        def add(writing: Writing) -> None:
            writing.many(_ADD, rows)

        try:
            await self._tables.write(add)
        except BaseException:
            self._uptime.put_back(taken)
            raise
