"""Joining a gateway: exchanges a token for an identity. Sends nothing to a gateway that did not issue the
token.
"""

from __future__ import annotations

import asyncio
import platform
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import aiohttp
import grpc
import grpc.aio
from cryptography import x509
from trunkline_proto.node.v1 import registry_pb2 as wire, registry_pb2_grpc

from node_sidecar import channel, identity as identities
from node_sidecar.errors import JoinRefusedError, UnreachableError, WrongGatewayError
from node_sidecar.identity import Identity, NodeRecord
from node_sidecar.join_token import JoinToken

_CA_LIMIT = 64 * 1024
_TIMEOUT = 10.0
_FIRST_DELAY = 0.5
_MAX_DELAY = 5.0
#: The gateway has decided: a retry would not change the answer.
_REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}


@dataclass(frozen=True, slots=True)
class Joined:
    """`pending`: an operator has yet to approve the node."""

    identity: Identity
    pending: bool


class _NoAnswerError(UnreachableError):
    """The token was sent, but may not have arrived."""


async def join(
    gateway: str, token: JoinToken, name: str, tell: Callable[[str], None], *, patience: float = 300.0
) -> Joined:
    """Joins, retrying for at most `patience` seconds. `tell` receives lines for a person who waits.

    All attempts use the same key and certificate request.

    Raises:
        WrongGatewayError: another gateway answers; nothing was sent to it.
        JoinRefusedError: in the gateway's words.
        IdentityError: what it issued cannot be used.
        UnreachableError: nobody answered for `patience` seconds.
    """
    key_pem, csr_pem = identities.make_request()
    maybe_used = False
    loop = asyncio.get_running_loop()
    deadline, delay = loop.time() + patience, _FIRST_DELAY
    while True:
        try:
            return await _attempt(gateway, token, name, key_pem, csr_pem)
        except JoinRefusedError as error:
            if maybe_used:
                raise JoinRefusedError(
                    f"{error} (an earlier attempt may have used the token, and its answer was lost: in that case, "
                    "request a new token, and remove the node that was created)"
                ) from error
            raise
        except UnreachableError as error:
            maybe_used = maybe_used or isinstance(error, _NoAnswerError)
            if loop.time() + delay > deadline:
                raise
            tell(f"{error}; trying again")
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            delay = min(delay * 2, _MAX_DELAY)


async def _attempt(gateway: str, token: JoinToken, name: str, key_pem: bytes, csr_pem: bytes) -> Joined:
    ca_pem = token.trusted(await fetch_ca(gateway))
    _check_clock(ca_pem)
    request = wire.EnrolRequest(
        join_token=token.text,
        csr_pem=csr_pem,
        proposed_name=name,
        sidecar_version=version("trunkline"),
        protocol=channel.PROTOCOL,
    )
    async with channel.anonymous(gateway, ca_pem) as opened:
        stub = registry_pb2_grpc.NodeRegistryStub(opened)
        try:
            response = await stub.Enrol(request, timeout=_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() in _REFUSALS:
                raise JoinRefusedError(f"the gateway refuses: {error.details()}") from error
            raise _NoAnswerError(
                f"the gateway at {gateway} does not answer ({error.code().name}: {error.details()})"
            ) from error
    if response.ca_pem and token.trusted(response.ca_pem) != ca_pem:
        raise WrongGatewayError("the gateway names a CA that is not the token's")
    record = NodeRecord(
        node_id=response.node_id,
        name=response.name or name,
        gateway=response.tunnel_address or gateway,
        joined_at=identities.utc_now().isoformat(timespec="seconds"),
    )
    made = identities.new(record, key_pem, response.certificate_chain_pem, ca_pem)
    return Joined(made, response.pending_approval)


def _check_clock(ca_pem: bytes) -> None:
    """Checks that the clock is within the validity of the CA.

    Raises:
        UnreachableError: it is not; TLS would fail with an error that does not mention clocks.
    """
    ca, now = x509.load_pem_x509_certificate(ca_pem), identities.utc_now()
    if not ca.not_valid_before_utc <= now <= ca.not_valid_after_utc:
        raise UnreachableError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, and the gateway's CA is not valid then: "
            "set the clock"
        )


async def fetch_ca(gateway: str) -> bytes:
    """Fetches `/ca.pem` from any server that answers. Only the token's fingerprint makes the answer trustworthy.

    Raises:
        UnreachableError: nobody answers, or the gateway is not ready.
        WrongGatewayError: something answers that is no gateway.
    """
    untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    untrusting.check_hostname = False
    untrusting.verify_mode = ssl.CERT_NONE
    untrusting.set_alpn_protocols(["http/1.1"])
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    url = f"https://{gateway}/ca.pem"
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(url, ssl=untrusting, allow_redirects=False) as response,
        ):
            if response.status >= 500:
                raise UnreachableError(f"the gateway at {gateway} is not ready (status {response.status})")
            if response.status != 200:
                raise WrongGatewayError(
                    f"{url} answers {response.status}: is this the gateway's tunnel listener? "
                    "The token was not sent."
                )
            body = b""
            async for chunk in response.content.iter_chunked(_CA_LIMIT):
                body += chunk
                if len(body) > _CA_LIMIT:
                    raise WrongGatewayError(f"{url} answers with more than a certificate. The token was not sent.")
            return body
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise UnreachableError(f"the gateway at {gateway} cannot be reached ({reason})") from error


def default_name() -> str:
    """Returns the machine's name as the proposed name of the node."""
    return platform.node().partition(".")[0] or "node"
