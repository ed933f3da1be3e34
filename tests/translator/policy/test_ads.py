"""The policy stream over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from trunkline_proto.xds.v1 import discovery_pb2 as discovery

from tests.translator import policies
from tests.translator.control_plane import ControlPlane
from tests.translator.policies import JWT_ISSUER, KEY, ORGANISATION, ROUTE
from translator import control_plane
from translator.policy import ads
from translator.policy.store import PolicyStore
from translator.policy.subscription import PolicySubscription

NODE = discovery.Node(id="t1", cluster="translator")


@asynccontextmanager
async def following(address: str, store: PolicyStore, token: str = "") -> AsyncIterator[asyncio.Event]:
    """Yields an event that is set whenever the policy has changed."""
    changed = asyncio.Event()
    store.on_change = changed.set
    control = control_plane.ControlPlaneAddress(address, token)
    task = asyncio.create_task(
        ads.follow(control, lambda: PolicySubscription(store, NODE), structlog.get_logger())
    )
    try:
        yield changed
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(changed: asyncio.Event, counts: dict[str, int], store: PolicyStore) -> None:
    async with asyncio.timeout(60):
        while store.counts != counts:
            await changed.wait()
            changed.clear()


async def test_the_policy_arrives_changes_and_survives_a_restart_of_the_control_plane(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/ads"
    store = PolicyStore()
    async with (
        ControlPlane(address, policies.organisation(), policies.key(), policies.route()) as control,
        following(address, store, "control-token") as changed,
    ):
        await control.start()  # the first attempt may have failed
        await until(changed, {"organisations": 1, "keys": 1, "routes": 1}, store)
        assert control.tokens == ["Bearer control-token"]
        requests = [await control.next_request() for _ in range(8)]
        assert requests[0].node == NODE
        assert {request.type_url for request in requests if request.response_nonce} == {
            *(ORGANISATION, KEY, JWT_ISSUER, ROUTE)
        }
        assert not any(request.HasField("error_detail") for request in requests)

        control.put(policies.route("rt_2", "two"))
        await until(changed, {"organisations": 1, "keys": 1, "routes": 2}, store)
        await control.next_request()

        await control.stop()
        assert store.held
        control.remove(policies.key())
        await control.start()
        await until(changed, {"organisations": 1, "keys": 0, "routes": 2}, store)
        again = {request.type_url: request for request in [await control.next_request() for _ in range(4)]}
        assert again[ROUTE].initial_resource_versions == {"rt_gpt": "1", "rt_2": "2"}


async def test_a_refused_response_is_nacked_and_the_stream_goes_on(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/ads"
    store = PolicyStore()
    async with (
        ControlPlane(address, policies.organisation(), policies.key(), policies.route()) as control,
        following(address, store) as changed,
    ):
        await control.start()
        await until(changed, {"organisations": 1, "keys": 1, "routes": 1}, store)
        for _ in range(8):
            await control.next_request()
        bad = policies.resource(policies.route("rt_bad", model=""), "9")
        control.put_raw(ROUTE, bad)
        nack = await control.next_request()
        assert nack.error_detail.message == "'rt_bad': model is empty"
        assert store.counts["routes"] == 1
        control.put(policies.route("rt_2", "two"))
        await until(changed, {"organisations": 1, "keys": 1, "routes": 2}, store)
