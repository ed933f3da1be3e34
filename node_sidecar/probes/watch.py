"""Watches the local servers: finds out what they are, probes them, and says when what they offer has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import aiohttp
from structlog.typing import FilteringBoundLogger

from node_sidecar.errors import ProbeError
from node_sidecar.probes.detect import DEFAULT_PORTS, KINDS, recognise
from node_sidecar.probes.http import Local
from node_sidecar.probes.kind import Kind
from node_sidecar.probes.standing import Standing
from node_sidecar.wishes.model import UpstreamWish

#: Seconds between two probes of a server, and between two looks at a default port where there is none.
INTERVAL = 2.0
SCAN_INTERVAL = 10.0


class Server:
    """One local server, there or not. `in_flight` are the requests that this node has sent to it and that run."""

    def __init__(self, base_url: str, api_key: str, kind: Kind | None) -> None:
        self.base_url = base_url
        self.api_key = api_key
        self.kind = kind
        self.standing = Standing()
        self.in_flight = 0

    @property
    def kind_name(self) -> str:
        return self.kind.name if self.kind is not None else ""


class Watch:
    """`changed` is called after a probe that found other models, or another health, than the one before."""

    def __init__(
        self,
        upstreams: Sequence[UpstreamWish],
        log: FilteringBoundLogger,
        *,
        interval: float = INTERVAL,
        ports: Sequence[int] = DEFAULT_PORTS,
    ) -> None:
        self._log = log
        self._interval = interval
        self._configured = bool(upstreams)
        self.servers = [
            Server(wish.url, wish.api_key, KINDS[wish.kind]() if wish.kind else None) for wish in upstreams
        ] or [Server(f"http://127.0.0.1:{port}", "", None) for port in ports]
        self.changed: Callable[[], None] = lambda: None
        #: Set when each server has been looked at once.
        self.ready = asyncio.Event()
        self._looked = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        # A connection for each probe: a server that hangs on one must not stop the others.
        async with (
            aiohttp.ClientSession(trust_env=False, connector=aiohttp.TCPConnector(force_close=True)) as session,
            asyncio.TaskGroup() as group,
        ):
            for server in self.servers:
                group.create_task(self._watch(server, Local(session, server.base_url, server.api_key)))

    async def _watch(self, server: Server, local: Local) -> None:
        loop = asyncio.get_running_loop()
        given = server.kind is not None
        while True:
            before = _offered(server)
            try:
                await self._probe(server, local)
            except ProbeError as error:
                server.standing.failed(loop.time(), str(error))
                if server.standing.gone(loop.time()) and not given:
                    server.kind = None
            if before is None:
                self._looked += 1
                if self._looked == len(self.servers):
                    self.ready.set()
            if _offered(server) != before:
                self._tell(server)
            away = server.kind is None and not self._configured
            await asyncio.sleep(SCAN_INTERVAL if away else self._interval)

    async def _probe(self, server: Server, local: Local) -> None:
        loop = asyncio.get_running_loop()
        if server.kind is None:
            server.kind = await recognise(local, only_known=not self._configured)
            if server.kind is None:
                raise ProbeError("no inference server answers here")
            self._log.info("local server found", url=server.base_url, kind=server.kind.name)
        server.standing.observed(loop.time(), await server.kind.observe(local))

    def _tell(self, server: Server) -> None:
        standing = server.standing
        if server.kind is not None or self._configured:
            told = {"url": server.base_url, "kind": server.kind_name, "models": len(standing.models)}
            if standing.healthy:
                self._log.info("local server serves", **told)
            else:
                self._log.warning("local server does not serve", **told, reason=standing.reason)
        self.changed()


def _offered(server: Server) -> tuple[object, ...] | None:
    """What others would notice; None before the first probe."""
    if server.standing.reason is None:
        return None
    return server.kind_name, server.standing.healthy, server.standing.models
