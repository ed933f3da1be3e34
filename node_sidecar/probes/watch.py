"""Watches the local servers: identifies and probes them, and reports when their offers have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import aiohttp
from structlog.typing import FilteringBoundLogger

from node_sidecar.errors import ProbeError
from node_sidecar.preferences.model import UpstreamPreference
from node_sidecar.probes.detect import DEFAULT_PORTS, KINDS, recognise
from node_sidecar.probes.health import ServerHealth
from node_sidecar.probes.http import LocalClient
from node_sidecar.probes.kind import ServerKind

#: Seconds between two probes of a server, and between two attempts at a default port without a server.
INTERVAL = 2.0
SCAN_INTERVAL = 10.0


class WatchedServer:
    """One local server, whether or not it answers.

    `in_flight` counts this node's running requests at the server, `served` all requests that it has sent there.
    """

    def __init__(self, preference: UpstreamPreference) -> None:
        self.preference = preference
        self.kind: ServerKind | None = KINDS[preference.kind]() if preference.kind else None
        self.health = ServerHealth()
        self.in_flight = 0
        self.served = 0

    @property
    def base_url(self) -> str:
        return self.preference.url

    @property
    def kind_name(self) -> str:
        return self.kind.name if self.kind is not None else ""


class Watch:
    """`changed` is called after a probe that found different models, health or concurrency from the one before.

    `servers` is the same list throughout; its content changes when the owner names other upstreams.
    """

    def __init__(
        self,
        upstreams: Sequence[UpstreamPreference],
        log: FilteringBoundLogger,
        *,
        interval: float = INTERVAL,
        ports: Sequence[int] = DEFAULT_PORTS,
    ) -> None:
        self._log = log
        self._interval = interval
        self._ports = ports
        self._upstreams: tuple[UpstreamPreference, ...] = ()
        self._reconfigured = asyncio.Event()
        self._tasks: dict[WatchedServer, asyncio.Task[None]] = {}
        self.servers: list[WatchedServer] = []
        self.changed: Callable[[], None] = lambda: None
        #: Set when each server has been probed once.
        self.ready = asyncio.Event()
        self._set_upstreams(tuple(upstreams))

    def configure(self, upstreams: Sequence[UpstreamPreference]) -> None:
        """Sets other upstreams. Servers that stay keep their state."""
        if tuple(upstreams) != self._upstreams:
            self._set_upstreams(tuple(upstreams))
            self._reconfigured.set()
            self.changed()

    def _set_upstreams(self, upstreams: tuple[UpstreamPreference, ...]) -> None:
        self._upstreams = upstreams
        known = {server.preference: server for server in self.servers}
        preferences = upstreams or tuple(UpstreamPreference(f"http://127.0.0.1:{port}") for port in self._ports)
        self.servers[:] = [
            known.get(preference) or WatchedServer(preference) for preference in dict.fromkeys(preferences)
        ]

    async def run(self) -> None:
        """Probes all servers until it is cancelled."""
        # A connection for each probe: a server that hangs on one must not stop the others.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with (
            aiohttp.ClientSession(trust_env=False, connector=connector) as session,
            asyncio.TaskGroup() as group,
        ):
            while True:
                self._reconfigured.clear()
                for server in set(self._tasks) - set(self.servers):
                    self._tasks.pop(server).cancel()
                for server in self.servers:
                    if server not in self._tasks:
                        local = LocalClient(session, server.base_url, server.preference.api_key)
                        self._tasks[server] = group.create_task(self._watch(server, local))
                await self._reconfigured.wait()

    async def _watch(self, server: WatchedServer, local: LocalClient) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = _offered(server)
            try:
                await self._probe(server, local)
            except ProbeError as error:
                server.health.failed(loop.time(), str(error))
                if server.health.gone(loop.time()) and not server.preference.kind:
                    server.kind = None
            if all(other.health.reason is not None for other in self.servers):
                self.ready.set()
            if _offered(server) != before:
                self._tell(server)
            away = server.kind is None and not self._upstreams
            await asyncio.sleep(SCAN_INTERVAL if away else self._interval)

    async def _probe(self, server: WatchedServer, local: LocalClient) -> None:
        loop = asyncio.get_running_loop()
        if server.kind is None:
            server.kind = await recognise(local, only_known=not self._upstreams)
            if server.kind is None:
                raise ProbeError("no inference server answers here")
            self._log.info("local server found", url=server.base_url, kind=server.kind.name)
        server.health.observed(loop.time(), await server.kind.observe(local))

    def _tell(self, server: WatchedServer) -> None:
        health = server.health
        if server.kind is not None or self._upstreams:
            reported = {"url": server.base_url, "kind": server.kind_name, "models": len(health.models)}
            if health.healthy:
                self._log.info("local server serves", **reported)
            else:
                self._log.warning("local server does not serve", **reported, reason=health.reason)
        self.changed()


def _offered(server: WatchedServer) -> tuple[object, ...] | None:
    """Returns the state that others depend on, for comparison; None before the first probe."""
    if server.health.reason is None:
        return None
    return server.kind_name, server.health.healthy, server.health.models, server.health.last.parallel
