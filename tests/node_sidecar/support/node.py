"""A node's serving half, assembled like in its app, in front of a fake local server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from node_sidecar.http2.limits import DEFAULT, Http2Limits
from node_sidecar.serving.gate import Gate
from node_sidecar.serving.service import MAX_BODY, Service
from node_sidecar.tunnel.tunnels import Tunnels
from tests.fakes.provider_process import ProviderProcess
from tests.node_sidecar.support.gateway import Gateway
from tests.node_sidecar.support.peer import Peer
from tests.node_sidecar.support.pki import NODE, Authority
from tests.node_sidecar.support.upstreams import Local, Models

#: Finds dead peers in two seconds.
HASTY: Http2Limits = replace(DEFAULT, ping_after=0.1, dead_after=2.0)
#: Keeps peers that do not answer, for as long as a test takes.
PATIENT: Http2Limits = replace(DEFAULT, ping_after=0.1, dead_after=600.0)


@dataclass(frozen=True, slots=True)
class Node:
    """A node that tests use through `peer`, the gateway's end of its only tunnel."""

    peer: Peer
    tunnels: Tunnels
    gateway: Gateway
    gate: Gate
    models: Models


@asynccontextmanager
async def serving(
    directory: Path,
    provider: ProviderProcess,
    *,
    gate: Gate | None = None,
    window: int = 1 << 20,
    acknowledges: bool = True,
    reads: bool = True,
    limits: Http2Limits = DEFAULT,
    max_body: int = MAX_BODY,
) -> AsyncIterator[Node]:
    """Runs a node with one tunnel in use. The peer's behaviour is as in `Tunnel.use`."""
    authority = Authority(directory)
    context = authority.client(NODE)
    models = Models(Local(provider.base_url))
    gate = gate or Gate(64, 64)
    service = Service(models, gate, max_body=max_body)
    async with Gateway(authority.server()) as gateway:
        tunnels = Tunnels(gateway.address, lambda: context, service, node_id=NODE, limits=limits)
        running = asyncio.create_task(tunnels.run())
        try:
            tunnel = await gateway.tunnel()
            peer = await tunnel.use(window=window, acknowledges=acknowledges, reads=reads)
            try:
                yield Node(peer, tunnels, gateway, gate, models)
            finally:
                await peer.close()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await service.close()


async def settled(provider: ProviderProcess) -> int:
    """Returns the number of events that the local server has sent, once it sends no more."""
    before = -1
    async with asyncio.timeout(60):
        while (now := (await provider.acounters())["events"]) != before:
            before = now
            await asyncio.sleep(0.2)  # until nothing more is sent, which nothing announces
    return now
