"""Renewals on a clock that the tests set, with certificates that are valid all the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest
import structlog
from structlog.testing import capture_logs

from node_sidecar.errors import IdentityError, NotJoinedError, RemovedError
from node_sidecar.identity import IdentityStore, utc_now
from node_sidecar.renewable_identity import RenewableIdentity
from node_sidecar.renewal import Renewal, RenewalTiming
from tests.node_sidecar.support.joined import joined
from tests.node_sidecar.support.registry import Gateway
from tests.waiting import until

QUICK = RenewalTiming(clock_interval=0.05, first_delay=0.02, max_delay=0.05, answer=60.0)


LIFE = timedelta(hours=24)
MINUTE = timedelta(minutes=1)


class Renewing:
    """The renewal of an identity that is valid for a day. `late` is how far its clock is ahead."""

    def __init__(self, identity: RenewableIdentity) -> None:
        self.late = timedelta()
        self.looks = 0
        self.task = asyncio.create_task(Renewal(identity, structlog.get_logger(), QUICK, now=self._now).run())

    def _now(self) -> datetime:
        self.looks += 1
        return utc_now() + self.late


@asynccontextmanager
async def _renewing(identity: RenewableIdentity) -> AsyncIterator[Renewing]:
    renewing = Renewing(identity)
    try:
        yield renewing
    finally:
        renewing.task.cancel()
        await asyncio.gather(renewing.task, return_exceptions=True)


async def _renewed(gateway: Gateway, count: int) -> None:
    await until(lambda: gateway.renewals >= count)


async def test_it_is_renewed_at_half_its_life_and_the_next_start_finds_it(
    gateway: Gateway, tmp_path: Path
) -> None:
    identity = await joined(gateway, tmp_path / "state")
    first = identity.current
    gateway.lifetime = 10 * LIFE.total_seconds()
    async with _renewing(identity) as renewing:
        renewing.late = LIFE / 2 - 30 * MINUTE
        seen = renewing.looks
        await until(lambda: renewing.looks >= seen + 3)
        assert gateway.renewals == 0
        renewing.late = LIFE / 2 + MINUTE
        await _renewed(gateway, 1)
        await until(lambda: identity.current != first)
    assert identity.current.key_pem != first.key_pem
    assert identity.current.record == first.record
    assert IdentityStore(tmp_path / "state").load() == identity.current
    # Both ends of a TLS connection can be made of it.
    identity.client_context()
    identity.server_context()


async def test_it_goes_on_trying_and_says_how_long_it_has(gateway: Gateway, tmp_path: Path) -> None:
    identity = await joined(gateway, tmp_path / "state")
    gateway.refusals["Renew"] = grpc.StatusCode.UNAVAILABLE, "down"
    gateway.lifetime = 10 * LIFE.total_seconds()
    with capture_logs() as logs:

        def logged(event: str) -> bool:
            return any(entry["event"] == event for entry in logs)

        async with _renewing(identity) as renewing:
            renewing.late = LIFE - 60 * MINUTE
            await until(lambda: logged("certificate not renewed yet"))
            assert not logged("certificate expired")
            renewing.late = LIFE
            await until(lambda: logged("certificate expired"))
            gateway.refusals.clear()
            # On its own clock it has expired; this gateway, whose clock is right, lets it in.
            await until(lambda: logged("certificate renewed"))
    (hours,) = {entry["hours_left"] for entry in logs if "hours_left" in entry}
    assert 0.9 <= hours <= 1
    assert any("join again" in str(entry.get("do")) for entry in logs)


async def test_a_removed_node_ends(gateway: Gateway, tmp_path: Path) -> None:
    identity = await joined(gateway, tmp_path / "state")
    gateway.refusals["Renew"] = grpc.StatusCode.NOT_FOUND, "removed"
    async with _renewing(identity) as renewing:
        renewing.late = LIFE / 2 + MINUTE
        with pytest.raises(RemovedError):
            await asyncio.wait_for(renewing.task, 60)


async def test_a_certificate_for_somebody_else_is_not_taken(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = await joined(gateway, tmp_path / "state")
    first, sign = identity.current, gateway.issuer.sign
    monkeypatch.setattr(gateway.issuer, "sign", lambda csr, _, life: sign(csr, "nd-somebodyelse0000", life))
    with capture_logs() as logs:
        async with _renewing(identity) as renewing:
            renewing.late = LIFE / 2 + MINUTE
            await _renewed(gateway, 2)
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
