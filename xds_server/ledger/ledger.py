"""The ledger's write side for asyncio: its own thread and connection, so that nothing else waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from xds_server.ledger import records, writing
from xds_server.ledger.connection import Writing, open_writer
from xds_server.store.url import DatabaseUrl

T = TypeVar("T")


class Ledger:
    """Transactions follow one another. `lock` as in connection.open_writer."""

    def __init__(self, url: DatabaseUrl, lock: threading.Lock) -> None:
        self._writer = open_writer(url, lock)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        #: Records stored, and records that were stored before and came again.
        self.stored = 0
        self.repeated = 0

    async def append(self, request: ledger.AppendRequest) -> list[str]:
        """The ids that are durable now. Raises InvalidFieldError, DatabaseUnavailableError."""
        return await self._run(lambda: self._append(request))

    async def write(self, work: Callable[[Writing], T]) -> T:
        """Runs `work` in a transaction of its own. Raises DatabaseUnavailableError."""
        return await self._run(lambda: self._write(work))

    def close(self) -> None:
        """Waits for what was begun."""
        self._thread.shutdown()
        self._writer.close()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _append(self, request: ledger.AppendRequest) -> list[str]:
        batch = records.columns(request)
        if not batch:
            return []
        new = self._write(lambda transaction: writing.append(transaction, batch))
        self.stored += new
        self.repeated += len(batch["id"]) - new
        return list(batch["id"])

    def _write(self, work: Callable[[Writing], T]) -> T:
        with self._writer.transaction() as transaction:
            return work(transaction)
