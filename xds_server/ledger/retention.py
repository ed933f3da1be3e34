"""Removes usage that is past its retention: raw records, and, much later, roll-ups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger import daily, outcomes, refused, request_ids, slots, users
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.retention_periods import DAY, RetentionPeriods
from xds_server.routing.slots import slot_of
from xds_server.routing.window import KEPT_SLOTS
from xds_server.usage.records import HOUR_US

#: Seconds between two rounds. Every round removes all that is due, batch by batch.
_INTERVAL = 300.0
_HOUR = 3_600
#: Records, blocks, series or rows of one transaction: it holds the write lock for some ten milliseconds.
BATCH = 500
#: Pause after each transaction, as a multiple of its duration, in which others can write.
_REST = 1.0

#: Tables that are stored by the hour, with their keys.
_BY_HOUR = {
    "usage_tag": "hour, organisation_id, tag",
    "usage_node": "hour, node_id, model, organisation_id, owner_key_id",
    "node_uptime": "hour, node_id",
}

_log = structlog.get_logger(__name__)


class Retention:
    """Removes old usage. `clock` gives Unix seconds."""

    def __init__(
        self,
        ledger: Ledger,
        periods: RetentionPeriods,
        *,
        batch: int = BATCH,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._periods = periods
        self._batch = batch
        self._clock = clock
        self._rolled_up_to = -1

    async def run(self) -> None:
        """Removes what is due, round after round, until cancelled."""
        while True:
            try:
                removed = await self.remove()
            except DatabaseUnavailableError as error:
                _log.warning("retention waits for the database", reason=str(error))
            else:
                if removed:
                    _log.info("usage records removed", records=removed)
            await asyncio.sleep(_INTERVAL)

    async def remove(self) -> int:
        """Removes everything that is due now. Returns how many raw records it was. Raises
        DatabaseUnavailableError.
        """
        now, removed = int(self._clock()), 0
        await self._ledger.write(lambda writing: slots.remove(writing, slot_of(now) - KEPT_SLOTS))
        if self._periods.records:
            removed = await self._records((now - self._periods.records) // _HOUR)
        day = (now - self._periods.rollups) // DAY
        if self._periods.rollups and day > self._rolled_up_to:
            await self._rollups(day)
            self._rolled_up_to = day
        return removed

    async def _records(self, hour: int) -> int:
        """Removes the hours before `hour`. The blocks go last, so that whatever is listed can be read at any
        time.
        """
        removed = await self._repeat(partial(_requests, before_us=hour * HOUR_US, batch=self._batch))
        await self._repeat(partial(_hours, table="usage_block", key="id", hour=hour, batch=self._batch))
        await self._repeat(partial(outcomes.remove, before_us=hour * HOUR_US, batch=self._batch))
        for index in (request_ids.INDEX, users.INDEX):
            await self._ledger.write(partial(index.remove, before_us=hour * HOUR_US))
        await self._repeat(partial(refused.remove, before_us=hour * HOUR_US, batch=self._batch))
        return removed

    async def _rollups(self, day: int) -> None:
        """Removes the days before `day`, series by series, because the rows of a series lie together."""
        for table, key in _BY_HOUR.items():
            await self._repeat(partial(_hours, table=table, key=key, hour=day * 24, batch=self._batch))
        last = 0
        while True:
            last = await self._ledger.write(
                lambda writing, last=last: _series(writing, last, day, self._batch)  # type: ignore[misc]
            )
            if not last:
                return

    async def _repeat(self, work: Callable[[LedgerTransaction], int]) -> int:
        """Repeats `work` until a batch is not full."""
        removed = 0
        while True:
            began = time.monotonic()
            found = await self._ledger.write(work)
            removed += found
            if found < self._batch:
                return removed
            await asyncio.sleep(_REST * (time.monotonic() - began))


def _requests(writing: LedgerTransaction, before_us: int, batch: int) -> int:
    return writing.run(
        "DELETE FROM usage_request WHERE (started_at_us, id) IN ("
        "SELECT started_at_us, id FROM usage_request WHERE started_at_us < ? ORDER BY started_at_us, id LIMIT ?)",
        before_us,
        batch,
    )


def _hours(writing: LedgerTransaction, table: str, key: str, hour: int, batch: int) -> int:
    return writing.run(
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE hour < ? ORDER BY hour LIMIT ?)",  # noqa: S608
        hour,
        batch,
    )


def _series(writing: LedgerTransaction, after: int, day: int, batch: int) -> int:
    """Removes the rows of the next `batch` series, and the series that have none left. Returns the last id, 0 at
    the end.
    """
    ids = [
        id_
        for (id_,) in writing.rows("SELECT id FROM usage_series WHERE id > ? ORDER BY id LIMIT ?", after, batch)
    ]
    if not ids:
        return 0
    writing.many("DELETE FROM usage_hour WHERE series_id = ? AND day < ?", [(id_, day) for id_ in ids])
    writing.many("DELETE FROM usage_unit WHERE series_id = ? AND day < ?", [(id_, day) for id_ in ids])
    writing.many("DELETE FROM usage_first_byte WHERE series_id = ? AND hour < ?", [(id_, day * 24) for id_ in ids])
    daily.remove(writing, ids, day)
    writing.run("DELETE FROM usage_series WHERE id > ? AND id <= ? AND last_hour < ?", after, ids[-1], day * 24)
    return int(ids[-1])
