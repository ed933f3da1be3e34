"""The ledger's write side for asyncio, with a thread and connection of its own, so that nothing else waits for
it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import structlog
from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from xds_server.errors import UnstorableError
from xds_server.ledger import checking, refused, writing
from xds_server.ledger.checking import RecordRefusal
from xds_server.ledger.connection import LedgerTransaction, open_writer
from xds_server.store.url import DatabaseUrl
from xds_server.usage import records
from xds_server.usage.records import Columns

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class AppendResult(NamedTuple):
    """The ids that are durable now, and what the ledger does not have and will not have."""

    acknowledged: list[str]
    refused: list[RecordRefusal]


class Ledger:
    """Runs transactions one after the other. `lock` is as in connection.open_writer."""

    def __init__(self, url: DatabaseUrl, lock: threading.Lock) -> None:
        self._writer = open_writer(url, lock)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        #: Records stored, and records that arrived again after they were stored.
        self.stored = 0
        self.repeated = 0
        #: Records set aside.
        self.refused = 0

    async def append(self, request: ledger.AppendRequest) -> AppendResult:
        """Stores the records that can be stored. Raises InvalidFieldError, DatabaseUnavailableError."""
        return await self._run(lambda: self._append(request))

    async def write(self, work: Callable[[LedgerTransaction], T]) -> T:
        """Runs `work` in a transaction of its own. Raises DatabaseUnavailableError."""
        return await self._run(lambda: self._write(work))

    def close(self) -> None:
        """Waits for the transaction that has begun."""
        self._thread.shutdown()
        self._writer.close()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _append(self, request: ledger.AppendRequest) -> AppendResult:
        checking.check_request(request)
        if not request.records and not request.HasField("packed"):
            return AppendResult([], [])
        ids = [*(each.id for each in request.records), *request.packed.id]
        found = checking.sort_out(request)
        turned_down = found.refused + (self._store(found.columns) if found.columns else [])
        if not turned_down:
            return AppendResult(ids, [])
        unkept = self._set_aside(request, turned_down)
        return AppendResult([each for each in ids if each not in unkept], turned_down)

    def _store(self, batch: Columns) -> list[RecordRefusal]:
        """Stores a batch of at least one record. If the database refuses one for an unforeseen reason, halves the
        batch until that record is found, so that the others do not wait.
        """
        number = len(batch["id"])
        try:
            new = self._write(lambda transaction: writing.append(transaction, batch))
        except (UnstorableError, ValueError, TypeError, ArithmeticError, LookupError) as error:
            if number == 1:
                _log.exception("a usage record cannot be stored", id=batch["id"][0][:128])
                (row,) = records.rows(batch)
                return [RecordRefusal(records.record(row), "", f"cannot be stored: {error}")]
            middle = number // 2
            return [
                refusal
                for part in (slice(None, middle), slice(middle, None))
                for refusal in self._store({name: batch[name][part] for name in batch})
            ]
        self.stored += new
        self.repeated += number - new
        return []

    def _set_aside(self, request: ledger.AppendRequest, turned_down: Sequence[RecordRefusal]) -> set[str]:
        """Stores rejected records. Returns the ids of those for which there is no room, which the sender keeps."""
        left = self._write(lambda transaction: refused.keep(transaction, request.source, turned_down))
        self.refused += len(turned_down)
        first = turned_down[0]
        _log.error(
            "usage records are set aside",
            source=request.source,
            records=len(turned_down),
            first=first.record.id[:128],
            field=first.field,
            reason=first.reason,
            no_room_for=len(left),
        )
        return {each.record.id for each in left} if request.keeps_refused else set()

    def _write(self, work: Callable[[LedgerTransaction], T]) -> T:
        with self._writer.transaction() as transaction:
            return work(transaction)
