"""Turns a changed state into published resources: load, build, publish, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from xds_server.errors import DatabaseUnavailableError
from xds_server.model import DesiredState, Gateway, Route
from xds_server.pool import Pool
from xds_server.protocol.snapshot import ResourceSnapshot
from xds_server.reasons import Reason
from xds_server.resources.builder import Builder
from xds_server.routing.tiers import NO_RANKINGS, Rankings
from xds_server.salvage import salvage
from xds_server.troubles import Troubles

#: Seconds between tries to read a database that does not answer. Clients keep what they run meanwhile.
_RETRY = 1.0

_log = structlog.get_logger(__name__)


class StateSource(Protocol):
    """Loads the desired state."""

    async def load(self) -> DesiredState:
        """Reads the desired state. Raises DatabaseUnavailableError."""


#: Receives every state that is loaded; returns the live pools that this state changes.
LivePools = Callable[[DesiredState], Mapping[str, Pool]]


class SnapshotSink(Protocol):
    """Receives finished snapshots."""

    def publish(self, snapshot: ResourceSnapshot) -> None:
        """Makes a snapshot the one that all clients get."""


class ControlPlane:
    """Reconciles what is published with the store and the live pools. Changes that arrive during a round are
    merged.
    """

    def __init__(self, source: StateSource, builder: Builder, troubles: Troubles | None = None) -> None:
        self._source = source
        self._builder = builder
        self._live: LivePools | None = None
        self._pools: dict[str, Pool] = {}
        self._troubles = troubles if troubles is not None else Troubles()
        self._rankings: Rankings = NO_RANKINGS
        self._has_new_rankings = False
        self._state: DesiredState | None = None
        #: Called whenever another state is published.
        self.on_state: list[Callable[[], object]] = []
        #: The last state that could be built: all of `_state` except the objects in trouble.
        self._built = DesiredState(0)
        self._stale = True
        self._changed = asyncio.Event()

    async def state_changed(self, revision: int) -> None:
        """Records that the store is at `revision` or later."""
        if self._state is None or self._state.revision < revision:
            self._stale = True
            self._changed.set()

    def follow(self, live: LivePools) -> None:
        """Calls `live` with every state from now on. Call this before the first state is loaded, so that each
        snapshot has the pools of its own state.
        """
        self._live = live

    def pools_changed(self, pools: Mapping[str, Pool]) -> None:
        """Takes the live pools that have changed, by name; a pool without endpoints has ended."""
        self._take(pools)
        self._changed.set()

    def rankings_changed(self, rankings: Rankings) -> None:
        """Takes the current rankings of all routes that have one."""
        self._rankings = rankings
        self._has_new_rankings = True
        self._changed.set()

    def routes(self) -> Collection[Route]:
        """Returns the routes of the state that was published last."""
        return self._state.routes.values() if self._state is not None else ()

    def gateway(self) -> Gateway:
        """Returns the gateway of the state that was published last."""
        return self._state.gateway if self._state is not None else Gateway()

    async def snapshot(self) -> ResourceSnapshot:
        """Returns what is to be published now."""
        return await self._reconcile()

    async def run(self, sink: SnapshotSink) -> None:
        """Publishes every change, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._builder.expires_in):
                    await self._changed.wait()
            self._changed.clear()
            try:
                sink.publish(await self._reconcile())
            except DatabaseUnavailableError as error:
                _log.error("the state cannot be read; trying again", reason=str(error), seconds=_RETRY)
                await asyncio.sleep(_RETRY)
                self._changed.set()
            except Exception as error:  # noqa: BLE001  # after any error, the published state stays in service
                if self._troubles.set("snapshot", Reason.of("trouble.state", _in_short(error))):
                    _log.error("snapshot not built", exc_info=error)
                await asyncio.sleep(_RETRY)
                self._changed.set()
            else:
                self._troubles.set("snapshot")

    def _take(self, pools: Mapping[str, Pool]) -> None:
        for name, pool in pools.items():
            if pool.endpoints:
                self._pools[name] = pool
            else:
                self._pools.pop(name, None)

    async def _reconcile(self) -> ResourceSnapshot:
        state = self._state
        if self._stale or state is None:
            self._stale = False  # before reading: a change that arrives meanwhile is read in the next round
            try:
                state = await self._source.load()
            except BaseException:
                self._stale = True
                raise
            self._troubles.set("store", *state.unreadable)
            if self._live is not None:
                self._take(self._live(state))
            # Runs in a thread because encoding a large state takes seconds, and changes of health must get through
            # meanwhile.
            snapshot = await asyncio.to_thread(self._build, state, dict(self._pools))
            self._state = state
            for call in self.on_state:
                call()
            return snapshot
        if self._has_new_rankings:  # like a changed state, but without resources that have to be encoded
            self._has_new_rankings = False
            return await asyncio.to_thread(
                self._builder.build, state.revision, self._built, dict(self._pools), self._rankings
            )
        return self._builder.build(state.revision, self._built, self._pools, self._rankings)

    def _build(self, state: DesiredState, pools: Mapping[str, Pool]) -> ResourceSnapshot:
        """Builds the snapshot of `state`, without the objects that cannot be built, if there are any."""
        try:
            snapshot = self._builder.build(state.revision, state, pools, self._rankings)
        except Exception as failed:  # noqa: BLE001  # one object's, which is found below
            _log.error("the state cannot be built; searching for the object", exc_info=failed)
        else:
            self._built = state
            self._troubles.set("builder")
            return snapshot

        def error_of(tried: DesiredState) -> Exception | None:
            try:
                self._builder.build(tried.revision, tried, pools, self._rankings)
            except Exception as error:  # noqa: BLE001
                return error
            return None

        built, broken = salvage(self._built, state, error_of)
        snapshot = self._builder.build(built.revision, built, pools, self._rankings)
        self._built = built
        self._troubles.set("builder", *(each.reason for each in broken))
        return snapshot


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:300]
