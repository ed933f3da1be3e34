from __future__ import annotations

import asyncio
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from node_sidecar import identity, join_token
from node_sidecar.errors import IdentityError, JoinRefusedError, UnreachableError, WrongGatewayError
from node_sidecar.files import private_directory
from node_sidecar.identity import IdentityStore
from node_sidecar.join import Joined, join
from tests.node_sidecar.support.pki import NODE
from tests.node_sidecar.support.registry import Gateway, Issuer


async def _join(gateway: Gateway, token: str | None = None, patience: float = 60.0) -> Joined:
    parsed = join_token.parse(token or gateway.issuer.token())
    return await join(gateway.address, parsed, "lab", lambda _: None, patience=patience)


async def test_a_token_becomes_an_identity(gateway: Gateway) -> None:
    joined = await _join(gateway)
    assert joined.identity.record.node_id == NODE
    assert joined.identity.record.name == "lab"
    assert joined.identity.record.gateway == gateway.address
    assert not joined.pending
    (request,) = gateway.enrolled
    assert request.protocol == 1
    assert b"CERTIFICATE REQUEST" in request.csr_pem


async def test_pending_approval_is_reported(gateway: Gateway) -> None:
    gateway.pending = True
    assert (await _join(gateway)).pending


async def test_nothing_is_sent_to_a_gateway_with_another_ca(gateway: Gateway, tmp_path: Path) -> None:
    token = Issuer(tmp_path / "other").token()
    with pytest.raises(WrongGatewayError, match="The token was not sent"):
        await _join(gateway, token)
    assert not gateway.enrolled


async def test_the_right_ca_does_not_help_a_gateway_without_its_key(gateway: Gateway, tmp_path: Path) -> None:
    """A man in the middle can show the CA, which is public, but has no certificate of it."""
    real = Issuer(tmp_path / "real")
    gateway.served_ca = real.file.read_bytes()
    with pytest.raises(UnreachableError, match="does not answer"):
        await _join(gateway, real.token(), patience=0.1)
    assert not gateway.enrolled


async def test_a_second_certificate_beside_the_ca_is_not_trusted(gateway: Gateway, tmp_path: Path) -> None:
    real = Issuer(tmp_path / "real")
    gateway.served_ca = real.file.read_bytes() + gateway.issuer.file.read_bytes()
    with pytest.raises(UnreachableError):
        await _join(gateway, real.token(), patience=0.1)
    assert not gateway.enrolled


@pytest.mark.parametrize("served", [b"", b"<html>hello</html>", b"x" * 100_000])
async def test_something_that_is_no_gateway_is_refused(gateway: Gateway, served: bytes) -> None:
    gateway.served_ca = served
    with pytest.raises(WrongGatewayError, match="The token was not sent"):
        await _join(gateway)
    assert not gateway.enrolled


async def test_the_gateways_refusal_is_passed_on(gateway: Gateway) -> None:
    await _join(gateway)
    with pytest.raises(JoinRefusedError, match="used, expired or unknown"):
        await _join(gateway)


async def test_an_old_sidecar_hears_what_is_needed(gateway: Gateway) -> None:
    gateway.refusals["Enrol"] = grpc.StatusCode.FAILED_PRECONDITION, "protocol 1 is too old: 2 is needed"
    with pytest.raises(JoinRefusedError, match="2 is needed"):
        await _join(gateway)


@pytest.mark.slow
async def test_it_waits_for_a_gateway_that_starts(gateway: Gateway) -> None:
    await gateway.stop()
    lines: list[str] = []
    asked = asyncio.Event()

    def tell(line: str) -> None:
        lines.append(line)
        asked.set()

    joining = asyncio.create_task(join(gateway.address, join_token.parse(gateway.issuer.token()), "lab", tell))
    await asked.wait()
    await gateway.start()
    assert (await joining).identity.record.name == "lab"
    assert "cannot be reached" in lines[0]


@pytest.mark.slow
async def test_a_gateway_that_is_not_ready_is_asked_again(gateway: Gateway) -> None:
    gateway.refusals["Enrol"] = grpc.StatusCode.UNAVAILABLE, "starting"
    reported = asyncio.Event()
    joining = asyncio.create_task(
        join(gateway.address, join_token.parse(gateway.issuer.token()), "lab", lambda _: reported.set())
    )
    await reported.wait()
    gateway.refusals.clear()
    await joining


@pytest.mark.slow
async def test_a_token_that_may_be_used_up_by_a_lost_answer_is_reported(gateway: Gateway) -> None:
    gateway.refusals["Enrol"] = grpc.StatusCode.UNAVAILABLE, "the answer was lost"
    reported = asyncio.Event()
    joining = asyncio.create_task(
        join(gateway.address, join_token.parse(gateway.issuer.token()), "lab", lambda _: reported.set())
    )
    await reported.wait()
    gateway.tokens.clear()
    gateway.refusals.clear()
    with pytest.raises(JoinRefusedError, match="an earlier attempt may have used the token"):
        await joining


async def test_a_certificate_for_another_name_is_not_taken(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = gateway.issuer.sign
    monkeypatch.setattr(gateway.issuer, "sign", lambda csr, _, life: sign(csr, "nd-somebodyelse0000", life))
    with pytest.raises(IdentityError, match="not for"):
        await _join(gateway)


async def test_a_wrong_clock_is_named(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "utc_now", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    with pytest.raises(UnreachableError, match="clock says 1970-01-01"):
        await _join(gateway, patience=0.1)
    assert not gateway.enrolled


async def test_nobody_there_ends_with_patience() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        token = join_token.parse(f"tlj_a_b_{'0' * 64}")
        with pytest.raises(UnreachableError, match="cannot be reached"):
            await join(address, token, "lab", lambda _: None, patience=0.1)


async def test_the_identity_is_kept_readable_by_its_owner_alone(gateway: Gateway, tmp_path: Path) -> None:
    joined = await _join(gateway)
    state = private_directory(tmp_path / "state")
    IdentityStore(state).save(joined.identity)
    assert IdentityStore(state).load() == joined.identity
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    assert modes == {"node.json": 0o600, "ca.pem": 0o600, "identity.pem": 0o600}


def test_a_token_is_not_shown() -> None:
    token = join_token.parse(f"tlj_a_topsecret_{'0' * 64}")
    assert "topsecret" not in repr(token)
