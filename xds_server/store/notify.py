"""Learns of other replicas' changes through PostgreSQL's LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from xds_server.store.connection import CHANNEL, postgresql_parameters
from xds_server.store.url import DatabaseUrl

if TYPE_CHECKING:
    import psycopg

#: Seconds. A listener that receives nothing for CHECK sends a query, so that a silently lost connection is
#: noticed.
CHECK = 30.0
BACKOFF_FIRST = 0.1
BACKOFF_MAX = 5.0

_log = structlog.get_logger(__name__)


class RevisionListener:
    """Calls `on_revision` for every revision that it learns of, including those that this process made.

    After each (re)connect it reports the current revision, so that no change is missed. Revisions only rise;
    several changes may be reported as one.
    """

    def __init__(self, url: DatabaseUrl, on_revision: Callable[[int], Awaitable[None]]) -> None:
        if url.is_sqlite:
            raise ValueError("SQLite has one control plane, so there are no changes of others to listen for")
        self._conninfo = url.conninfo
        self._on_revision = on_revision
        self._reported = -1
        self._backoff = BACKOFF_FIRST

    async def run(self) -> None:
        """Listens until cancelled."""
        import psycopg  # noqa: PLC0415  # only with PostgreSQL

        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                pause = self._backoff * random.uniform(0.5, 1.0)  # noqa: S311  # spreads replicas, guards nothing
                self._backoff = min(self._backoff * 2, BACKOFF_MAX)
                reason = str(error).strip().partition("\n")[0]
                _log.warning("store.listener_lost", reason=reason, retry_seconds=round(pause, 2))
                await asyncio.sleep(pause)

    async def _listen(self) -> None:
        import psycopg  # noqa: PLC0415

        connection = await psycopg.AsyncConnection.connect(
            autocommit=True, **postgresql_parameters(self._conninfo)
        )
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            while True:
                await self._report(await _revision(connection))
                self._backoff = BACKOFF_FIRST
                async for notification in connection.notifies(timeout=CHECK):
                    await self._report(int(notification.payload))

    async def _report(self, revision: int) -> None:
        if revision > self._reported:
            self._reported = revision
            await self._on_revision(revision)


async def _revision(connection: psycopg.AsyncConnection) -> int:
    cursor = await connection.execute("SELECT value FROM revision WHERE kind = 'state'")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
