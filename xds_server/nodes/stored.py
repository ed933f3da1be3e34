"""Keeps the nodes' last reports in the database, so that a control plane that restarts has its pools at once.

A node's row is written when its content changes, a moment later and together with others', never for a heartbeat.
If the control plane is killed in between, it restarts with the previous row, and the node reports everything again
when it connects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger.connection import LedgerTransaction
from xds_server.nodes.ports import LiveTables

#: Seconds for changes to gather.
_GATHER = 0.5
#: Seconds between tries to write to a database that does not answer.
_RETRY = 2.0
#: Rows of one transaction, which holds the write lock.
_BATCH = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A node's row. `report` is what LiveNodes.saved returned; `updated` is in Unix seconds.

    `departed`: it had not reported for so long that it was in no pool.
    """

    node_id: str
    report: bytes
    updated: int
    departed: bool


class StoredReports:
    """Writes rows. `row` returns a node's row as it should be now, None for none."""

    def __init__(self, tables: LiveTables, row: Callable[[str], StoredReport | None]) -> None:
        self._tables = tables
        self._row = row
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()

    async def load(self) -> list[StoredReport]:
        """Returns every row. Raises DatabaseUnavailableError."""
        return await self._tables.write(_rows)

    def changed(self, node_id: str) -> None:
        """Records that the node's row should change."""
        self._changed[node_id] = None
        self._wake.set()

    async def run(self) -> None:
        """Writes changed rows until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_GATHER)
            try:
                await self.flush()
            except DatabaseUnavailableError as error:
                _log.warning("nodes' offers wait for the database", reason=str(error))
                await asyncio.sleep(_RETRY)

    async def flush(self) -> None:
        """Writes changed rows now. Raises DatabaseUnavailableError; nothing is lost then."""
        while self._changed:
            batch = list(self._changed)[:_BATCH]
            rows = {node_id: self._row(node_id) for node_id in batch}
            for node_id in batch:
                del self._changed[node_id]
            try:
                await self._tables.write(lambda writing, rows=rows: _write(writing, rows))  # type: ignore[misc]
            except BaseException:
                self._changed = dict.fromkeys(batch) | self._changed
                raise
        self._wake.clear()


def _rows(writing: LedgerTransaction) -> list[StoredReport]:
    return [
        StoredReport(node_id, bytes(report), updated, bool(departed))
        for node_id, report, updated, departed in writing.rows(
            "SELECT node_id, report, updated, departed FROM node_live ORDER BY node_id"
        )
    ]


def _write(writing: LedgerTransaction, rows: dict[str, StoredReport | None]) -> None:
    writing.many("DELETE FROM node_live WHERE node_id = ?", [(node_id,) for node_id in rows])
    writing.many(
        "INSERT INTO node_live (node_id, report, updated, departed) VALUES (?, ?, ?, ?)",
        [(row.node_id, row.report, row.updated, row.departed) for row in rows.values() if row is not None],
    )
