"""Ranks the targets of routes by usage records, once a second, with the same result on every replica.

Nothing is read while no route's strategy follows measurements. The ledger stores the measurements in any case, so
they are read as soon as they are needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from xds_server.errors import DatabaseUnavailableError
from xds_server.ledger import slots
from xds_server.ledger.ledger import Ledger
from xds_server.model import Route
from xds_server.routing.explain import TargetExplanation, explain
from xds_server.routing.measured import Measurements, RequestMix
from xds_server.routing.rankings import rankings
from xds_server.routing.slots import slot_of
from xds_server.routing.strategies import MEASURED
from xds_server.routing.tiers import NO_RANKINGS, Rankings
from xds_server.routing.window import KEPT_SLOTS
from xds_server.store.connection import DatabaseSnapshot, open_reader
from xds_server.store.url import DatabaseUrl

_INTERVAL = 1.0

_log = structlog.get_logger(__name__)


class Routes(Protocol):
    """Provides the routes whose targets are ranked, and takes the rankings."""

    def routes(self) -> Collection[Route]:
        """Returns every route that is published now."""
        ...

    def rankings_changed(self, rankings: Rankings) -> None:
        """Publishes the routes with these rankings."""


class Ranker:
    """Follows the slots that the ledger stores. `clock` gives Unix seconds."""

    def __init__(self, url: DatabaseUrl, ledger: Ledger, *, clock: Callable[[], float] = time.time) -> None:
        self._reader = open_reader(url)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ranker")
        self._ledger = ledger
        self._clock = clock
        self._last = 0
        self._published = NO_RANKINGS
        self._measurements = Measurements()
        self._state_changed = asyncio.Event()

    def state_changed(self) -> None:
        """Records that other routes may be published."""
        self._state_changed.set()

    async def run(self, ranked: Routes) -> None:
        """Ranks the targets of `ranked`, until cancelled. Call `state_changed` whenever its routes change."""
        while True:
            self._state_changed.clear()
            try:
                await self.look(ranked)
            except DatabaseUnavailableError as error:
                _log.warning("ranking waits for the database", reason=str(error))
            if self._published == NO_RANKINGS and not _measured(ranked):
                await self._state_changed.wait()
                continue
            # Wakes at the beginning of a second, which is when prices change.
            await asyncio.sleep(_INTERVAL - self._clock() % _INTERVAL)

    async def look(self, ranked: Routes) -> None:
        """Reads what is new, and ranks the targets of routes that need it. Raises DatabaseUnavailableError."""
        routes = _measured(ranked)
        found = await self._rank(routes) if routes else NO_RANKINGS
        if found != self._published:
            self._published = found
            ranked.rankings_changed(found)

    async def explain(self, route: Route) -> tuple[RequestMix, list[TargetExplanation]]:
        """Explains a route's ranking like routing.explain, from everything that is stored now. Raises
        DatabaseUnavailableError.
        """
        loop, published = asyncio.get_running_loop(), self._published

        def work() -> tuple[RequestMix, list[TargetExplanation]]:
            now = self._clock()
            with self._reader.snapshot() as snapshot:
                self._read(snapshot, now)
            return explain(route, self._measurements, published, now)

        return await loop.run_in_executor(self._thread, work)

    def close(self) -> None:
        """Waits for the reading that has begun."""
        self._thread.shutdown()
        self._reader.close()

    async def _rank(self, routes: Collection[Route]) -> Rankings:
        """Returns the current rankings, and stores each tier's best target if it has changed."""
        loop = asyncio.get_running_loop()
        found, best = await loop.run_in_executor(self._thread, lambda: self._look(routes))
        begun = {key: each for key, each in found.items() if key not in best or each.since > best[key].since}
        if begun:
            now = self._clock()
            await self._ledger.write(lambda writing: slots.put_best(writing, begun, now))
        return found

    def _look(self, routes: Collection[Route]) -> tuple[Rankings, Rankings]:
        """Returns the current rankings and the stored best targets. Runs in a thread because it takes
        milliseconds.
        """
        now = self._clock()
        with self._reader.snapshot() as snapshot:
            self._read(snapshot, now)
            best = slots.best(snapshot, now)
        return rankings(routes, self._measurements, best, now), best

    def _read(self, snapshot: DatabaseSnapshot, now: float) -> None:
        """Adds the slots that were stored since the last read to the measurements."""
        for each in slots.after(snapshot, self._last, slot_of(now) - KEPT_SLOTS):
            self._last = each.id
            self._measurements.add(each.slot, {each.asked: each.content})
        self._measurements.forget(slot_of(now))


def _measured(ranked: Routes) -> list[Route]:
    """Returns the routes whose targets are ordered by measurements."""
    return [route for route in ranked.routes() if route.strategy in MEASURED]
