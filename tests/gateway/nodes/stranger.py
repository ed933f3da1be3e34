"""Programs that call the tunnel listener of a real gateway in any way: with a token, an identity, or neither."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from trunkline_proto.node.v1 import registry_pb2 as pb, registry_pb2_grpc

from tests.fakes.certificates import GATEWAY_NAME, Identity, NodeTls
from tests.gateway.process import GatewayProcess

_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.ssl_target_name_override", GATEWAY_NAME),
    ("grpc.max_send_message_length", -1),
]


def tunnel_address(gateway: GatewayProcess) -> tuple[str, int]:
    host, _, port = gateway.credentials["tunnel"].removeprefix("https://").rpartition(":")
    return host, int(port)


def invitation(gateway: GatewayProcess, organisation: str = "default", *words: str) -> dict[str, str]:
    """Returns the `token` and `url` of a new invitation."""
    done = gateway.run("nodes", "invite", "--org", organisation, "--output", "json", *words)
    return dict(json.loads(done.stdout))


def untrusting() -> ssl.SSLContext:
    """Returns the context of a caller without a token, which cannot verify the gateway."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ca_of(gateway: GatewayProcess) -> str:
    """Returns the CA, which everybody may read."""
    url = f"{gateway.credentials['tunnel']}/ca.pem"
    with urllib.request.urlopen(url, timeout=60, context=untrusting()) as answer:
        return str(answer.read().decode())


def log_of(gateway: GatewayProcess, service: str = "xds_server") -> str:
    return Path(gateway.data_dir, "log", f"{service}.log").read_text(errors="replace")


@dataclass(frozen=True)
class Stranger:
    """A node that has joined, with a program of its own that may send and present anything."""

    node_id: str
    tls: NodeTls = field(repr=False)

    @classmethod
    async def joined(cls, gateway: GatewayProcess, organisation: str = "default") -> Stranger:
        token = invitation(gateway, organisation)["token"]
        key, csr = _request()
        tls = NodeTls(ca_of(gateway))
        async with registry(gateway, tls) as stub:
            answer = await stub.Enrol(pb.EnrolRequest(join_token=token, csr_pem=csr, protocol=1))
        identity = Identity(answer.certificate_chain_pem.decode(), key)
        return cls(answer.node_id, NodeTls(tls.ca_pem, identity))


async def enrolled(gateway: GatewayProcess, token: str, times: int) -> list[pb.EnrolResponse]:
    """Enrols `times` times at once with the same key, like a caller that never got its answer."""
    _, csr = _request()
    request = pb.EnrolRequest(join_token=token, csr_pem=csr, protocol=1)
    async with registry(gateway, NodeTls(ca_of(gateway))) as stub:
        return list(await asyncio.gather(*(stub.Enrol(request, timeout=60) for _ in range(times))))


async def refused_enrolment(gateway: GatewayProcess, token: str, **values: Any) -> tuple[grpc.StatusCode, str]:
    """Tries to enrol with these values in an otherwise valid request. Returns the refusal."""
    _, csr = _request()
    request = pb.EnrolRequest(**{"join_token": token, "csr_pem": csr, "protocol": 1, **values})
    async with registry(gateway, NodeTls(ca_of(gateway))) as stub:
        return await status(stub.Enrol(request, timeout=60))


@asynccontextmanager
async def registry(gateway: GatewayProcess, tls: NodeTls) -> AsyncIterator[Any]:
    """Connects to NodeRegistry through the tunnel listener."""
    shown: tuple[bytes, bytes] | tuple[None, None] = (None, None)
    if tls.identity is not None:
        shown = (tls.identity.key.encode(), tls.identity.certificate.encode())
    credentials = grpc.ssl_channel_credentials(tls.ca_pem.encode(), *shown)
    host, port = tunnel_address(gateway)
    async with grpc.aio.secure_channel(f"{host}:{port}", credentials, options=_OPTIONS) as channel:
        yield registry_pb2_grpc.NodeRegistryStub(channel)


def first_report(*offers: pb.Offer, **values: Any) -> pb.NodeReport:
    """Returns a complete report, as a stream begins with it."""
    return pb.NodeReport(
        **{
            "sequence": 1,
            "facts": pb.NodeFacts(protocol=1),
            "offers": offers,
            "offers_complete": True,
            "load": pb.Load(concurrency_limit=16, kv_cache_permille=1001),
            "availability": pb.AVAILABILITY_OPEN,
            **values,
        }
    )


async def refused_report(
    gateway: GatewayProcess, tls: NodeTls, *messages: pb.NodeReport, metadata: Sequence[Any] = ()
) -> tuple[grpc.StatusCode, str]:
    """Sends these messages. Returns how the stream ends."""
    while True:
        async with registry(gateway, tls) as stub:
            call = stub.Report(metadata=metadata, timeout=60)
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the status says it
                for message in messages:
                    await call.write(message)
            code, details = await status(call)
        # A write that fails before grpc.aio has read the refusal replaces it.
        if (code, details) != (grpc.StatusCode.INTERNAL, "Internal error from Core"):
            return code, details


async def status(call: Any) -> tuple[grpc.StatusCode, str]:
    """Returns the status of a call after reading all its messages, without which gRPC does not give it."""
    if hasattr(call, "read"):
        with suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]  # which grpc-stubs lacks
                pass
    return await call.code(), await call.details() or ""


def _request() -> tuple[str, bytes]:
    """Returns a key and a certificate request for it, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
