"""Stores nodes' uptime.

Seconds are added to the stored ones every minute and at shutdown, in one transaction: a control plane that is
killed loses a minute at most. If a database goes away just as it commits, that minute may be counted twice; no
hour ever has more than 3,600 seconds.
"""

from __future__ import annotations

import asyncio

import structlog

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.connection import LedgerTransaction
from xds_server.nodes.moment import Clock
from xds_server.nodes.ports import LiveTables
from xds_server.nodes.uptime import HOUR, Uptime

#: Seconds between two additions.
_INTERVAL = 60.0
_ADD = (
    "INSERT INTO node_uptime (node_id, hour, seconds) VALUES (?, ?, ?) ON CONFLICT (node_id, hour) "  # noqa: S608
    f"DO UPDATE SET seconds = CASE WHEN node_uptime.seconds + excluded.seconds > {HOUR} THEN {HOUR} "
    "ELSE node_uptime.seconds + excluded.seconds END"
)

_log = structlog.get_logger(__name__)


class UptimeLog:
    """Adds what `uptime` has counted to the table."""

    def __init__(self, uptime: Uptime, tables: LiveTables, clock: Clock) -> None:
        self._uptime = uptime
        self._tables = tables
        self._clock = clock

    async def run(self) -> None:
        """Adds every minute, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                await self.flush()
            except DatabaseUnavailableError as error:
                _log.warning("nodes' uptime waits for the database", reason=str(error))

    async def flush(self) -> None:
        """Adds now. Raises DatabaseUnavailableError; nothing is lost then."""
        taken = self._uptime.take(self._clock())
        if not taken:
            return
        rows = [(node_id, hour, min(seconds, HOUR)) for (node_id, hour), seconds in sorted(taken.items())]

        def add(writing: LedgerTransaction) -> None:
            writing.many(_ADD, rows)

        try:
            await self._tables.write(add)
        except BaseException:
            self._uptime.put_back(taken)
            raise
