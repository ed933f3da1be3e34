"""The ledger's read side for asyncio, with a thread and connection of its own, so that a long report delays
nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from xds_server.ledger import contributions, refused, reports, requests, sampling, search
from xds_server.ledger.contributions import Contribution, ContributionDimension
from xds_server.ledger.query import Dimension, Filter
from xds_server.ledger.refused import RefusedRecord
from xds_server.ledger.reports import Comparison, Group
from xds_server.ledger.requests import Cursor, Heaviest
from xds_server.ledger.sampling import Coverage, Reading
from xds_server.ledger.search import Search
from xds_server.store.accounts import organisation_names
from xds_server.store.connection import DatabaseSnapshot, open_reader
from xds_server.store.url import DatabaseUrl
from xds_server.usage.records import Columns, Row

T = TypeVar("T")

#: Records of one page of an export, before those that do not match are left out.
PAGE = 1_000


class LedgerReader:
    """Runs reports one after the other. All methods raise DatabaseUnavailableError."""

    def __init__(self, url: DatabaseUrl) -> None:
        self._reader = open_reader(url)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reports")

    async def report(self, wanted: Filter, by: Sequence[Dimension]) -> list[Group]:
        """See reports.report."""
        return await self._read(lambda snapshot: reports.report(snapshot, wanted, by))

    async def compare(self, wanted: Filter) -> list[Comparison]:
        """See reports.compare."""
        return await self._read(lambda snapshot: reports.compare(snapshot, wanted))

    async def contributions(self, wanted: Filter, by: Sequence[ContributionDimension]) -> list[Contribution]:
        """See contributions.report."""
        return await self._read(lambda snapshot: contributions.report(snapshot, wanted, by))

    async def top(self, wanted: Filter, column: str, limit: int) -> list[Row]:
        """Returns the heaviest of all requests; see requests.top."""
        return (await self._read(lambda snapshot: requests.top(snapshot, wanted, column, limit))).rows

    async def newest_top(self, wanted: Filter, column: str, limit: int, most: int) -> Heaviest:
        """See requests.top."""
        return await self._read(lambda snapshot: requests.top(snapshot, wanted, column, limit, most))

    async def refused(self, limit: int) -> tuple[list[RefusedRecord], int]:
        """Returns the newest records that were set aside, and how many there are in all."""
        return await self._read(lambda snapshot: (refused.newest(snapshot, limit), refused.count(snapshot)))

    async def search(
        self, wanted: Search, before: Cursor, size: int, seconds: float
    ) -> tuple[list[Row], Cursor | None]:
        """Returns up to `size` requests from `before` on down, and where the search continues; None if it is
        complete.

        The search stops after `seconds`, even if it has found nothing. Reports may run between its steps.
        """
        until = time.monotonic() + seconds
        searching = search.Searching(wanted)
        found, after = await self._read(lambda snapshot: searching.step(snapshot, before))
        while after is not None and len(found) < size and time.monotonic() < until:
            rows, after = await self._read(
                lambda snapshot, after=after: searching.step(snapshot, after)  # type: ignore[misc]
            )
            found += rows
        if len(found) > size:
            found = found[:size]
            after = Cursor(found[-1].started_at_us, found[-1].id)
        return found, after

    async def names(self) -> tuple[dict[str, str], dict[str, str]]:
        """Returns the names of organisations and of keys, by their ids."""
        return await self._read(lambda snapshot: (organisation_names(snapshot), reports.key_names(snapshot)))

    async def organisation_names(self) -> dict[str, str]:
        """Returns the names of organisations by id."""
        return await self._read(organisation_names)

    async def export(self, wanted: Filter) -> AsyncIterator[list[Row]]:
        """Yields pages, oldest records first. The next page is read when it is asked for, in a snapshot of its
        own.
        """
        after: Cursor | None = Cursor()
        while after is not None:
            found, after = await self._read(
                lambda snapshot, after=after: requests.page(snapshot, wanted, after, PAGE)  # type: ignore[misc]
            )
            if found:
                yield found

    async def read(self, work: Callable[[DatabaseSnapshot], T]) -> T:
        """Runs `work` on a snapshot of the ledger."""
        return await self._read(work)

    async def sample(self, wanted: Filter, take: Callable[[Columns], None]) -> Coverage:
        """Passes the records of the hours of `wanted`, or a sample of them, to `take` in the reader's thread."""
        reading = Reading(await self._read(lambda snapshot: sampling.choose(snapshot, wanted)), take)
        while not reading.is_done:
            await self._read(reading.step)
        return reading.coverage

    def close(self) -> None:
        """Waits for the report that has begun."""
        self._thread.shutdown(cancel_futures=True)
        self._reader.close()

    async def _read(self, work: Callable[[DatabaseSnapshot], T]) -> T:
        def read() -> T:
            with self._reader.snapshot() as snapshot:
                return work(snapshot)

        return await asyncio.get_running_loop().run_in_executor(self._thread, read)
