"""Programs that call the tunnel listener of a real gateway as they like: with a token, an identity, or neither."""

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
    """Its `token` and `url`."""
    done = gateway.run("nodes", "invite", "--org", organisation, "--output", "json", *words)
    return dict(json.loads(done.stdout))


def untrusting() -> ssl.SSLContext:
    """Of whoever has no token, and so nothing to know the gateway by."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ca_of(gateway: GatewayProcess) -> str:
    """As everybody may read it."""
    url = f"{gateway.credentials['tunnel']}/ca.pem"
    with urllib.request.urlopen(url, timeout=10, context=untrusting()) as answer:
        return str(answer.read().decode())


def log_of(gateway: GatewayProcess, service: str = "xds_server") -> str:
    return Path(gateway.data_dir, "log", f"{service}.log").read_text(errors="replace")


@dataclass(frozen=True)
class Stranger:
    """One that has joined, with a program of its own: it may say and show what it likes."""

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
    """As one that never got its answer, with the same key each time, all at once."""
    _, csr = _request()
    request = pb.EnrolRequest(join_token=token, csr_pem=csr, protocol=1)
    async with registry(gateway, NodeTls(ca_of(gateway))) as stub:
        return list(await asyncio.gather(*(stub.Enrol(request, timeout=30) for _ in range(times))))


async def refused_enrolment(gateway: GatewayProcess, token: str, **values: Any) -> tuple[grpc.StatusCode, str]:
    """With a good request otherwise."""
    _, csr = _request()
    request = pb.EnrolRequest(**{"join_token": token, "csr_pem": csr, "protocol": 1, **values})
    async with registry(gateway, NodeTls(ca_of(gateway))) as stub:
        return await status(stub.Enrol(request, timeout=30))


@asynccontextmanager
async def registry(gateway: GatewayProcess, tls: NodeTls) -> AsyncIterator[Any]:
    """NodeRegistry through the tunnel listener."""
    shown: tuple[bytes, bytes] | tuple[None, None] = (None, None)
    if tls.identity is not None:
        shown = (tls.identity.key.encode(), tls.identity.certificate.encode())
    credentials = grpc.ssl_channel_credentials(tls.ca_pem.encode(), *shown)
    host, port = tunnel_address(gateway)
    async with grpc.aio.secure_channel(f"{host}:{port}", credentials, options=_OPTIONS) as channel:
        yield registry_pb2_grpc.NodeRegistryStub(channel)


def first_report(*offers: pb.Offer, **values: Any) -> pb.NodeReport:
    """Complete, as a stream begins."""
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
    """How the stream ends that sends these."""
    async with registry(gateway, tls) as stub:
        call = stub.Report(metadata=metadata, timeout=60)
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the status says it
            for message in messages:
                await call.write(message)
        return await status(call)


async def status(call: Any) -> tuple[grpc.StatusCode, str]:
    """After everything that came before it, without which gRPC does not give it."""
    if hasattr(call, "read"):
        with suppress(grpc.aio.AioRpcError):
            while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]  # which grpc-stubs lacks
                pass
    return await call.code(), await call.details() or ""


def _request() -> tuple[str, bytes]:
    """A key and a certificate request for it, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
