"""Makes the sums by day as days end, and those of earlier years after an upgrade, in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import structlog

from xds_server.background import BackgroundTask
from xds_server.ledger import daily, pacing
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.retention_periods import DAY
from xds_server.reasons import Reason

#: Seconds between two checks whether a day has ended.
_INTERVAL = 60.0
#: Series of one transaction: it holds the write lock for some ten milliseconds.
BATCH = 200
#: Days left from which progress is reported: after an upgrade, or a long time without a control plane.
_MANY = 3
_DESCRIPTION = Reason.of("task.daily_sums")

_log = structlog.get_logger(__name__)


class DailySums:
    """Sums days. `clock` gives Unix seconds; `report` receives the progress while a run takes long, and None
    afterwards.
    """

    def __init__(
        self,
        ledger: Ledger,
        report: Callable[[BackgroundTask | None], object] = lambda task: None,
        *,
        batch: int = BATCH,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._batch = batch
        self._clock = clock

    async def run(self) -> None:
        """Sums days as they end, until cancelled."""
        await pacing.every(_INTERVAL, self.catch_up, "sums by day wait for the database")

    async def catch_up(self) -> int:
        """Sums all days that have ended. Returns how many. Raises DatabaseUnavailableError.

        If a call is interrupted, the next one continues, in this process or another.
        """
        today = int(self._clock()) // DAY
        first = await self._ledger.write(daily.first_missing)
        last, days = first - 1, 0
        try:
            self._report_progress(0, today - first)
            advance = partial(daily.advance, today=today, batch=self._batch)
            async for reached in pacing.steps(partial(self._ledger.write, advance)):
                days += reached.day > last
                last = reached.day
                self._report_progress(last - first, today - first)
        finally:
            self._report(None)
        if days > 1:
            _log.info("usage is summed by day", days=days)
        return days

    def _report_progress(self, done: int, days: int) -> None:
        if days > _MANY:
            self._report(BackgroundTask(_DESCRIPTION, max(0, done), days, "days"))
