"""Indexes the ids of requests in the background, once their records have arrived."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from xds_server.background import BackgroundTask
from xds_server.ledger import pacing, request_ids
from xds_server.ledger.ledger import Ledger
from xds_server.reasons import Reason

#: Seconds between two checks.
_INTERVAL = 600.0
#: Seconds after which nearly all records of a time have arrived: others get rows of their own.
_SETTLED = 900.0
_HOUR_US = 3_600_000_000
#: Hours to index from which progress is reported: after an upgrade.
_MANY = 3
_DESCRIPTION = Reason.of("task.request_ids")


class IdIndexing:
    """Indexes ids. `clock` gives Unix seconds; `report` receives the progress while a run takes long, and None
    afterwards.
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
        await pacing.every(_INTERVAL, self.catch_up, "the index of ids waits for the database")

    async def catch_up(self) -> None:
        """Indexes all requests that are old enough. Raises DatabaseUnavailableError.

        If a call is interrupted, the next one continues, in this process or another.
        """
        until = round((self._clock() - _SETTLED) * 1_000_000)
        first = await self._ledger.write(request_ids.first_missing)
        hours = (until - (first or until)) // _HOUR_US
        try:
            advance = partial(request_ids.advance, until_us=until)
            async for reached in pacing.steps(partial(self._ledger.write, advance)):
                if hours > _MANY and first is not None:
                    self._report(BackgroundTask(_DESCRIPTION, (reached - first) // _HOUR_US, hours, "hours"))
        finally:
            self._report(None)
