"""A gateway as a node sees it: the tunnel listener's TLS port, with a small NodeRegistry over real gRPC.

In place of Envoy, it passes on decrypted bytes: HTTP/2 goes to gRPC, HTTP/1.1 is `/ca.pem` or a tunnel.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from trunkline_proto.node.v1 import registry_pb2 as wire, registry_pb2_grpc

from tests.node_sidecar.support.gateway import Tunnel
from tests.node_sidecar.support.peer import Peer
from tests.node_sidecar.support.pki import NODE, Authority
from tests.ports import ReservedPort
from tests.waiting import until

Context = grpc.aio.ServicerContext[object, object]


class Issuer(Authority):
    """Signs requests like the control plane."""

    def sign(self, csr_pem: bytes, name: str, lifetime: float) -> bytes:
        """Returns a chain for `name`, valid from now for `lifetime` seconds."""
        request = x509.load_pem_x509_csr(csr_pem)
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(seconds=lifetime))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def token(self, secret: str = "secret") -> str:
        certificate = x509.load_pem_x509_certificate(self.file.read_bytes())
        digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
        return f"tlj_id1_{secret}_{digest}"


class Gateway(registry_pb2_grpc.NodeRegistryServicer):
    """A gateway whose `port` survives `stop` and `start`. `refusals` has the calls to refuse, by method."""

    def __init__(self, directory: Path) -> None:
        self.issuer = Issuer(directory)
        self.served_ca = self.issuer.file.read_bytes()
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.tokens = {self.issuer.token()}
        self.lifetime = 24 * 3600.0
        self.pending = False
        self.refusals: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.instruction = wire.NodeInstruction(heartbeat_ms=100, lease_ms=6000, tunnels=1)
        self.enrolled: list[wire.EnrolRequest] = []
        self.renewals = 0
        self.left: list[str] = []
        self.tunnels: asyncio.Queue[Tunnel] = asyncio.Queue()
        #: Every report, with the name in its sender's certificate.
        self.reports: asyncio.Queue[tuple[str, wire.NodeReport]] = asyncio.Queue()
        #: What the current stream's reports add up to, as far as a test has taken them.
        self.held = wire.NodeReport()
        self._names: dict[int, str] = {}
        self._front: asyncio.Server | None = None
        self._server: grpc.aio.Server | None = None
        self._inner = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._instructing: set[asyncio.Event] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    async def start(self) -> None:
        self._server = grpc.aio.server()
        registry_pb2_grpc.add_NodeRegistryServicer_to_server(self, self._server)
        self._inner = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        context = self.issuer.server()
        context.set_alpn_protocols(["h2", "http/1.1"])
        self._front = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=context)

    async def stop(self) -> None:
        """Stops as if killed."""
        if self._front is not None:
            self._front.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._server is not None:
            await self._server.stop(None)
        self._front = self._server = None

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def report(self) -> wire.NodeReport:
        """Returns the next report of any node."""
        async with asyncio.timeout(60):
            taken = (await self.reports.get())[1]
        self._hold(taken)
        return taken

    async def report_with(self, part: str) -> wire.NodeReport:
        """Returns the next report that has `facts`, `load`, `offers` or `availability`."""
        while True:
            report = await self.report()
            found = {
                "facts": report.HasField("facts"),
                "load": report.HasField("load"),
                "offers": report.offers_complete,
                "availability": report.availability != 0,
            }
            if found[part]:
                return report

    async def known(self, condition: Callable[[wire.NodeReport], object]) -> wire.NodeReport:
        """Takes reports until what they add up to meets `condition`; returns that.

        A single report may lack any part: a slow machine's first one has no offers, and a new stream repeats all.
        """
        async with asyncio.timeout(120):
            while not condition(self.held):
                await self.report()
        return self.held

    async def serving(self) -> wire.NodeReport:
        """Returns what is known of the node once it serves everybody its models."""
        return await self.known(
            lambda node: node.offers and node.HasField("facts") and node.availability == wire.AVAILABILITY_OPEN
        )

    async def gone(self) -> None:
        """Waits until no node reports, and forgets what was reported."""
        await until(lambda: not self._instructing)
        while not self.reports.empty():
            self.reports.get_nowait()
        self.held = wire.NodeReport()

    async def peer(self) -> Peer:
        """Returns the peer of the next tunnel that is still open, in use."""
        async with asyncio.timeout(60):
            while True:
                peer = await (await self.tunnels.get()).use()
                if not peer.closed:
                    return peer
                await peer.close()

    def instruct(self, instruction: wire.NodeInstruction) -> None:
        """Sends the instruction on every open stream."""
        self.instruction = instruction
        for event in self._instructing:
            event.set()

    # The registry.

    async def Enrol(self, request: wire.EnrolRequest, context: Context) -> wire.EnrolResponse:
        await self._refuse("Enrol", context)
        self.enrolled.append(request)
        if request.join_token not in self.tokens:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the join token is used, expired or unknown")
        self.tokens.remove(request.join_token)
        return wire.EnrolResponse(
            node_id=NODE,
            certificate_chain_pem=self.issuer.sign(request.csr_pem, NODE, self.lifetime),
            ca_pem=self.issuer.file.read_bytes(),
            pending_approval=self.pending,
            name=request.proposed_name,
        )

    async def Renew(self, request: wire.RenewRequest, context: Context) -> wire.RenewResponse:
        await self._refuse("Renew", context)
        self.renewals += 1
        return wire.RenewResponse(
            certificate_chain_pem=self.issuer.sign(request.csr_pem, self._name(context), self.lifetime)
        )

    async def Report(
        self, requests: AsyncIterator[wire.NodeReport], context: Context
    ) -> AsyncIterator[wire.NodeInstruction]:
        await self._refuse("Report", context)
        changed = asyncio.Event()
        self._instructing.add(changed)
        reading = asyncio.create_task(self._take(requests, self._name(context)))
        try:
            while not reading.done():
                changed.clear()  # first: the instruction may change while this one is being sent
                yield self.instruction
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait({waiting, reading}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                await self._refuse("Report", context)
        finally:
            reading.cancel()
            self._instructing.discard(changed)

    async def Leave(self, request: wire.LeaveRequest, context: Context) -> wire.LeaveResponse:
        await self._refuse("Leave", context)
        self.left.append(self._name(context))
        return wire.LeaveResponse()

    async def _take(self, requests: AsyncIterator[wire.NodeReport], name: str) -> None:
        async for report in requests:
            self.reports.put_nowait((name, report))

    def _hold(self, report: wire.NodeReport) -> None:
        """Adds up reports by the rules of registry.proto: an absent field is unchanged."""
        if report.sequence == 1:
            self.held = wire.NodeReport()
        if report.HasField("facts"):
            self.held.facts.CopyFrom(report.facts)
        if report.HasField("load"):
            self.held.load.CopyFrom(report.load)
        if report.offers_complete:
            del self.held.offers[:]
            self.held.offers.extend(report.offers)
        if report.availability:
            self.held.availability = report.availability
            self.held.availability_reason = report.availability_reason

    async def _refuse(self, method: str, context: Context) -> None:
        if method in self.refusals:
            await context.abort(*self.refusals[method])

    def _name(self, context: Context) -> str:
        """Returns the name in the caller's certificate, which Envoy would put into `x-forwarded-client-cert`."""
        return self._names[int(context.peer().rpartition(":")[2])]

    # The listener.

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        name = _name(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            if session.selected_alpn_protocol() == "h2":
                await self._pass_on(reader, writer, name)
            elif await self._answer(reader, writer, name):
                return
        writer.close()
        self._writers.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> bool:
        """Answers one HTTP/1.1 request. Returns whether the connection became a tunnel."""
        request = await reader.readuntil(b"\r\n\r\n")
        if request.startswith(b"GET /ca.pem "):
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(self.served_ca)}\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + self.served_ca)
        elif request.startswith(b"GET /reverse_connections/request ") and name:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            self.tunnels.put_nowait(Tunnel(request, reader, writer))
            return True
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        return False

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
        self._names[inner_writer.get_extra_info("sockname")[1]] = name
        self._writers.add(inner_writer)
        copies = {
            asyncio.create_task(_copy(reader, inner_writer)),
            asyncio.create_task(_copy(inner_reader, writer)),
        }
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            inner_writer.transport.abort()
            writer.transport.abort()
            self._writers.discard(inner_writer)


def _name(writer: asyncio.StreamWriter) -> str:
    certificate = writer.get_extra_info("peercert") or {}
    return next((value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"), "")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
