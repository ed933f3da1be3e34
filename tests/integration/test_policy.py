"""The control plane's ADS and the translator's policy stream, connected only by gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256

import grpc.aio
import pytest
import structlog
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from tests.ports import ReservedPort
from translator.control_plane import ControlPlaneAddress
from translator.policy import ads
from translator.policy.store import PolicyStore
from translator.policy.subscription import PolicySubscription
from xds_server.clients import ClientRegistry
from xds_server.model import DesiredState, Key, Organisation
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer

KEYS = 50_000
ACME = Organisation("org_0123456789abcdef", "acme")


def state() -> DesiredState:
    ids = (f"{number:016}" for number in range(KEYS))
    keys = {each: Key(each, ACME.id, f"key-{each}", sha256(each.encode()).digest()) for each in ids}
    return DesiredState(1, organisations={ACME.id: ACME}, keys=keys)


@pytest.mark.slow
async def test_50_000_keys_arrive_and_one_less_after_a_restart_of_the_control_plane() -> None:
    """All keys are in one response, twice as large as gRPC's own limit of 4 MiB, and all their versions in one
    request.
    """
    # Not a Unix socket: gRPC unlinks the previous one at some time after its end.
    port = ReservedPort()
    address, first, builder = f"127.0.0.1:{port.number}", state(), Builder(EdgeSettings())
    registry, store = ClientRegistry(), PolicyStore()
    xds = AdsServer(builder.build(1, first, {}), registry, quiet=0)

    async def arrived(revision: int, keys: int) -> None:
        async with asyncio.timeout(120):
            while store.counts != {"organisations": 1, "keys": keys, "routes": 0}:
                await changed.wait()
                changed.clear()
        assert (await registry.wait_settled(revision, 120)).accepted == 1

    changed = asyncio.Event()
    store.on_change = changed.set
    node = discovery.Node(id="t1", cluster="translator")
    following = asyncio.create_task(
        ads.follow(
            ControlPlaneAddress(address, ""), lambda: PolicySubscription(store, node), structlog.get_logger()
        )
    )
    server = await serve(xds, address)
    try:
        await arrived(1, KEYS)
        last = first.keys[f"{KEYS - 1:016}"]
        assert store.key_by_hash(last.hash) is not None

        await server.stop(None)
        fewer = replace(first, revision=2, keys={each: key for each, key in first.keys.items() if key is not last})
        xds.publish(builder.build(2, fewer, {}))
        server = await serve(xds, address)
        await arrived(2, KEYS - 1)
        assert store.key_by_hash(last.hash) is None
        assert registry.recent_rejections() == ()
    finally:
        following.cancel()
        await asyncio.wait({following})
        xds.close()
        await server.stop(None)


async def serve(xds: AdsServer, address: str) -> grpc.aio.Server:
    server = grpc.aio.server(options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers((xds.handler(),))
    server.add_insecure_port(address)
    await server.start()
    return server
