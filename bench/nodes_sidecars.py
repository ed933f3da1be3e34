"""`python -m bench.nodes_sidecars FILE`: runs many sidecars in one process, for bench.nodes.

It uses real gRPC, and through the tunnel listener real TLS with each sidecar's own key and certificate. FILE holds
a `Plan` as JSON. Prints `joined` with the ids of the sidecars that will leave and return, and at SIGTERM what
happened, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from trunkline_proto.node.v1 import registry_pb2 as pb, registry_pb2_grpc

MODEL = "bench-nodes"
GATEWAY_NAME = "gateway.trunkline.internal"
#: Concurrent enrolments of one process.
JOINING = 8
#: Seconds that a flapping sidecar is present, and away: longer than a lease.
THERE, GONE = 10.0, 8.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`address` is the tunnel listener's host:port with `ca_pem`, or `unix:…` without.

    The first `flapping` sidecars leave and return; all renew their certificates every `renew_seconds` (0: never).
    """

    address: str
    ca_pem: str
    tokens: Sequence[str] = field(repr=False)
    flapping: int
    renew_seconds: float


@dataclass(slots=True)
class Counts:
    """The counted events. `ended`: streams that ended unexpectedly."""

    reports: int = 0
    renewals: int = 0
    flaps: int = 0
    instructions: int = 0
    ended: int = 0
    last_error: str = ""


class Sidecar:
    """A node that makes its key, joins and reports."""

    def __init__(self, plan: Plan, token: str, counts: Counts) -> None:
        self._plan = plan
        self._token = token
        self._counts = counts
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = b""
        self.id = ""

    async def join(self) -> None:
        async with self._channel() as channel:
            answer = await registry_pb2_grpc.NodeRegistryStub(channel).Enrol(
                pb.EnrolRequest(join_token=self._token, csr_pem=self._csr(), proposed_name="bench", protocol=1)
            )
        self.id, self._certificate = answer.node_id, answer.certificate_chain_pem

    async def stay(self) -> None:
        """Reports, and reconnects whenever the stream ends, until cancelled."""
        await asyncio.sleep(random.uniform(0, 2))
        while True:
            await self._connected()
            self._counts.ended += 1
            await asyncio.sleep(random.uniform(0.1, 1))

    async def flap(self) -> None:
        """Alternates between presence and an absence longer than a lease, until cancelled."""
        await asyncio.sleep(random.uniform(0, THERE))
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(THERE):
                    await self._connected()
                    self._counts.ended += 1
            self._counts.flaps += 1
            await asyncio.sleep(GONE)

    async def _connected(self) -> None:
        try:
            async with self._channel() as channel:
                stub = registry_pb2_grpc.NodeRegistryStub(channel)
                async with asyncio.TaskGroup() as tasks:
                    renewing = tasks.create_task(self._renew(stub))
                    await self._report(stub)
                    renewing.cancel()
        except* grpc.aio.AioRpcError as failed:
            error = failed.exceptions[0]
            assert isinstance(error, grpc.aio.AioRpcError)
            self._counts.last_error = f"{error.code().name}: {error.details()}"

    async def _report(self, stub: Any) -> None:
        call = stub.Report(metadata=self._metadata())
        await call.write(
            pb.NodeReport(
                sequence=1,
                facts=pb.NodeFacts(protocol=1, sidecar_version="bench", operating_system="linux"),
                offers=[pb.Offer(model=MODEL, healthy=True, context_length=8_192, server="vllm")],
                offers_complete=True,
                load=pb.Load(concurrency_limit=16, kv_cache_permille=1001),
                availability=pb.AVAILABILITY_OPEN,
            )
        )
        instruction = await call.read()
        sequence = 1
        while instruction is not grpc.aio.EOF:  # type: ignore[attr-defined]  # which grpc-stubs lacks
            self._counts.instructions += 1
            reading = asyncio.ensure_future(call.read())
            while not (await asyncio.wait({reading}, timeout=instruction.heartbeat_ms / 1_000))[0]:
                sequence += 1
                running = random.randrange(17)
                load = pb.Load(in_flight=running, concurrency_limit=16, kv_cache_permille=1001)
                await call.write(pb.NodeReport(sequence=sequence, load=load))
                self._counts.reports += 1
            instruction = reading.result()
        raise grpc.aio.AioRpcError(await call.code(), details=await call.details(), **_NO_METADATA)

    async def _renew(self, stub: Any) -> None:
        every = self._plan.renew_seconds
        if not every:
            return
        await asyncio.sleep(random.uniform(0, every))
        while True:
            answer = await stub.Renew(pb.RenewRequest(csr_pem=self._csr()), metadata=self._metadata())
            assert answer.certificate_chain_pem
            self._counts.renewals += 1
            await asyncio.sleep(every)

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """Opens a separate connection, as sidecars on separate machines have."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", GATEWAY_NAME)]
        if not self._plan.ca_pem:
            channel = grpc.aio.insecure_channel(self._plan.address, options=options[:1])
        else:
            identity: tuple[bytes, bytes] | tuple[None, None] = (None, None)
            if self._certificate:
                key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                identity = (key, self._certificate)
            credentials = grpc.ssl_channel_credentials(self._plan.ca_pem.encode(), *identity)
            channel = grpc.aio.secure_channel(self._plan.address, credentials, options=options)
        async with channel:
            yield channel

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the header that Envoy would set for the certificate, if there is no Envoy."""
        return () if self._plan.ca_pem else (("x-forwarded-client-cert", f"Hash={'00' * 32};DNS={self.id}"),)

    def _csr(self) -> bytes:
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return request.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


_NO_METADATA: Any = {"initial_metadata": grpc.aio.Metadata(), "trailing_metadata": grpc.aio.Metadata()}


async def run(plan: Plan) -> Counts:
    """Runs until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    counts = Counts()
    sidecars = [Sidecar(plan, token, counts) for token in plan.tokens]
    turn = asyncio.Semaphore(JOINING)

    async def join(sidecar: Sidecar) -> None:
        async with turn:
            await sidecar.join()

    await asyncio.gather(*(join(each) for each in sidecars))
    flapping, staying = sidecars[: plan.flapping], sidecars[plan.flapping :]
    print("joined", json.dumps([each.id for each in flapping]), flush=True)
    tasks = [asyncio.create_task(each.flap()) for each in flapping]
    tasks += [asyncio.create_task(each.stay()) for each in staying]
    await stopping.wait()
    result = Counts(**asdict(counts))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return result


def main() -> None:
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    print("counts", json.dumps(asdict(asyncio.run(run(plan)))), flush=True)


if __name__ == "__main__":
    main()
