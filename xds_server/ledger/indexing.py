"""Indexes requests in the background: once their records have arrived, and after an upgrade."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from xds_server.background import BackgroundTask
from xds_server.ledger import outcomes, pacing, request_ids, users
from xds_server.ledger.connection import LedgerTransaction
from xds_server.ledger.ledger import Ledger
from xds_server.ledger.stretches import StretchIndex
from xds_server.reasons import Reason
from xds_server.usage.records import HOUR_US

#: Seconds between two checks.
_INTERVAL = 600.0
#: Seconds after which nearly all records of a time have arrived: others get rows of their own.
_SETTLED = 900.0
#: Hours to index from which progress is reported: after an upgrade.
_MANY = 3


class Indexing:
    """Indexes requests. `clock` gives Unix seconds; `report` receives the progress while a run takes long, and
    None afterwards.
    """

    def __init__(
        self,
        ledger: Ledger,
        report: Callable[[BackgroundTask | None], object] = lambda task: None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._report = report
        self._clock = clock

    async def run(self) -> None:
        """Runs until it is cancelled."""
        await pacing.every(_INTERVAL, self.catch_up, "the indexes of requests wait for the database")

    async def catch_up(self) -> None:
        """Indexes all requests that are old enough. Raises DatabaseUnavailableError.

        If a call is interrupted, the next one continues, in this process or another.
        """
        try:
            await self._outcomes()
            await self._settled(request_ids.INDEX, request_ids.advance, Reason.of("task.request_ids"))
            await self._settled(users.INDEX, users.advance, Reason.of("task.users"))
        finally:
            self._report(None)

    async def _outcomes(self) -> None:
        hours = await self._ledger.write(outcomes.missing_hours)
        async for left in pacing.steps(partial(self._ledger.write, outcomes.advance)):
            self._report_progress(Reason.of("task.outcomes"), hours - left, hours)

    async def _settled(
        self, index: StretchIndex, advance: Callable[[LedgerTransaction, int], int | None], description: Reason
    ) -> None:
        until = round((self._clock() - _SETTLED) * 1_000_000)
        first = await self._ledger.write(index.first_missing)
        if first is None:
            return
        hours = (until - first) // HOUR_US
        async for reached in pacing.steps(partial(self._ledger.write, lambda writing: advance(writing, until))):
            self._report_progress(description, (reached - first) // HOUR_US, hours)

    def _report_progress(self, description: Reason, done: int, hours: int) -> None:
        if hours > _MANY:
            self._report(BackgroundTask(description, done, hours, "hours"))
