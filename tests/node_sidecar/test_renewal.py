from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
import structlog
from structlog.testing import capture_logs

from node_sidecar.errors import IdentityError, NotJoinedError, RemovedError
from node_sidecar.identity import IdentityStore
from node_sidecar.renewal import Renewal, RenewalTiming
from tests.node_sidecar.support.joined import joined
from tests.node_sidecar.support.registry import Gateway
from tests.waiting import until

QUICK = RenewalTiming(clock_interval=0.05, first_delay=0.02, max_delay=0.05, answer=60.0)


async def _renewed(gateway: Gateway, count: int) -> None:
    await until(lambda: gateway.renewals >= count)


@pytest.mark.slow
async def test_it_is_renewed_at_half_its_life_and_the_next_start_finds_it(
    gateway: Gateway, tmp_path: Path
) -> None:
    gateway.lifetime = 4.0  # certificates count whole seconds
    identity = await joined(gateway, tmp_path / "state")
    first = identity.current
    gateway.lifetime = 3600.0
    running = asyncio.create_task(Renewal(identity, structlog.get_logger(), QUICK).run())
    await _renewed(gateway, 1)
    await until(lambda: identity.current != first)
    running.cancel()
    assert identity.current.key_pem != first.key_pem
    assert identity.current.record == first.record
    assert IdentityStore(tmp_path / "state").load() == identity.current
    # Both ends of a TLS connection can be made of it.
    identity.client_context()
    identity.server_context()


@pytest.mark.slow
async def test_it_goes_on_trying_and_says_how_long_it_has(gateway: Gateway, tmp_path: Path) -> None:
    gateway.lifetime = 4.0  # long enough to try before its end, also on a busy machine
    identity = await joined(gateway, tmp_path / "state")
    gateway.refusals["Renew"] = grpc.StatusCode.UNAVAILABLE, "down"
    gateway.lifetime = 3600.0
    with capture_logs() as logs:
        running = asyncio.create_task(Renewal(identity, structlog.get_logger(), QUICK).run())
        async with asyncio.timeout(60):
            await until(lambda: any(entry["event"] == "certificate expired" for entry in logs))
            gateway.refusals.clear()
            # This gateway lets the expired one in; Envoy would not, and it would go on trying.
            await asyncio.sleep(0)
        running.cancel()
    events = [entry["event"] for entry in logs]
    assert events.index("certificate not renewed yet") < events.index("certificate expired")
    assert any("join again" in str(entry.get("do")) for entry in logs)


@pytest.mark.slow
async def test_a_removed_node_ends(gateway: Gateway, tmp_path: Path) -> None:
    gateway.lifetime = 2.0
    identity = await joined(gateway, tmp_path / "state")
    gateway.refusals["Renew"] = grpc.StatusCode.NOT_FOUND, "removed"
    with pytest.raises(RemovedError):
        await asyncio.wait_for(Renewal(identity, structlog.get_logger(), QUICK).run(), 60)


@pytest.mark.slow
async def test_a_certificate_for_somebody_else_is_not_taken(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.lifetime = 2.0
    identity = await joined(gateway, tmp_path / "state")
    first, sign = identity.current, gateway.issuer.sign
    monkeypatch.setattr(gateway.issuer, "sign", lambda csr, _, life: sign(csr, "nd-somebodyelse0000", life))
    with capture_logs() as logs:
        running = asyncio.create_task(Renewal(identity, structlog.get_logger(), QUICK).run())
        await _renewed(gateway, 2)
        running.cancel()
    assert identity.current == first
    assert any("is not for" in str(entry.get("reason")) for entry in logs)


def test_no_identity_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(NotJoinedError, match="trunkline nodes invite"):
        IdentityStore(tmp_path).load()


async def test_a_damaged_identity_is_said_plainly(gateway: Gateway, tmp_path: Path) -> None:
    await joined(gateway, tmp_path / "state")
    store = IdentityStore(tmp_path / "state")
    store.certificate_file.write_bytes(store.certificate_file.read_bytes()[:-200])
    with pytest.raises(IdentityError, match="--replace"):
        store.load()
