"""An edge without `trunkline up`: the xds_server's Python parts in this process, a real Envoy, a real translator.

The test decides what is stored and what nodes report, and publishes it like the control plane.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc
import grpc.aio
from trunkline_proto.node.v1 import registry_pb2, registry_pb2_grpc

from tests.fakes.certificates import GATEWAY_NAME, CertificateAuthority, NodeTls
from tests.ports import ReservedPort
from tests.waiting import until_answered
from translator.ledger import lines
from translator.ledger.lines import RequestLine
from trunkline import envoy, envoy_module
from trunkline.layout import Layout
from trunkline.memory import EnvoyMemory
from xds_server.clients import ClientRegistry
from xds_server.model import DesiredState, Key, Organisation, Route
from xds_server.pool import Pool, PoolEndpoint
from xds_server.protocol.snapshot import ROUTE, ResourceSnapshot
from xds_server.resources.builder import Builder
from xds_server.resources.settings import EdgeSettings, GatewayTls
from xds_server.transport.ads import SERVER_OPTIONS, AdsServer

WORKERS = 2
_CONVERSATIONS = count()
Context = grpc.aio.ServicerContext[Any, Any]


class Registry(registry_pb2_grpc.NodeRegistryServicer):
    """Answers with Envoy's statements about the caller; no test renews or leaves."""

    async def Renew(self, request: registry_pb2.RenewRequest, context: Context) -> registry_pb2.RenewResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no test renews")

    async def Leave(self, request: registry_pb2.LeaveRequest, context: Context) -> registry_pb2.LeaveResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no test leaves")

    async def Enrol(self, request: registry_pb2.EnrolRequest, context: Context) -> registry_pb2.EnrolResponse:
        return registry_pb2.EnrolResponse(name=caller(context))

    async def Report(
        self, request_iterator: AsyncIterator[registry_pb2.NodeReport], context: Context
    ) -> AsyncIterator[registry_pb2.NodeInstruction]:
        async for report in request_iterator:
            yield registry_pb2.NodeInstruction(heartbeat_ms=int(report.sequence), lease_ms=len(caller(context)))


def caller(context: Context) -> str:
    metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
    return metadata.get("x-forwarded-client-cert", "")


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Edge:
    """The running edge. Entering starts everything; `publish` publishes a state and waits until both clients run
    it.
    """

    directory: Path
    keys: Mapping[str, Key]
    authority: CertificateAuthority = field(default_factory=CertificateAuthority)

    def __post_init__(self) -> None:
        self.layout = Layout(self.directory / "d")
        self.tls = self.issued()
        self._reserved = {name: ReservedPort() for name in ("openai", "admin", "tunnel", "handshake")}
        self.ports = {name: each.number for name, each in self._reserved.items()}
        settings = EdgeSettings(
            openai_listen=("127.0.0.1", self.ports["openai"]),
            admin_listen=("127.0.0.1", self.ports["admin"]),
            tunnel_listen=("127.0.0.1", self.ports["tunnel"]),
            tunnel_handshake_listen=("127.0.0.1", self.ports["handshake"]),
            tunnel_secret="between-envoy-and-itself",
            tls=self.tls,
            access_log=str(self.layout.access_log),
        )
        self.builder = Builder(settings)
        owners = {key.organisation_id for key in self.keys.values()}
        organisations = {each: Organisation(each, each) for each in owners}
        self.state = DesiredState(1, organisations=organisations, keys=self.keys)
        self.live: dict[str, Pool] = {}
        self.clients = ClientRegistry()

    def issued(self) -> GatewayTls:
        """Returns a new certificate for the gateway itself."""
        own = self.authority.issue(GATEWAY_NAME)
        return GatewayTls(self.authority.pem, own.certificate, own.key)

    def node_tls(self, name: str) -> NodeTls:
        """Returns the TLS settings of a node that enrolled as `name`."""
        return NodeTls(self.authority.pem, self.authority.issue(name))

    @property
    def envoy_pid(self) -> int:
        return self._processes[-1].pid

    @property
    def tunnel(self) -> tuple[str, int]:
        return "127.0.0.1", self.ports["tunnel"]

    async def __aenter__(self) -> Self:
        self.layout.prepare()
        self.layout.bootstrap.write_text(envoy.bootstrap(self.layout, EnvoyMemory(1 << 30), 10_000))
        self._ads = AdsServer(self.snapshot(), self.clients)
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._server.add_generic_rpc_handlers((self._ads.handler(),))
        registry_pb2_grpc.add_NodeRegistryServicer_to_server(Registry(), self._server)
        self._server.add_insecure_port(f"unix:{self.layout.xds_socket}")
        await self._server.start()
        self._processes: list[asyncio.subprocess.Process] = []
        try:
            self._processes = [await self._translator(), await self._envoy()]
            await until_answered(self._ready)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            if process.returncode is None:
                process.terminate()
            await process.wait()
        self._ads.close()
        await self._server.stop(0.1)

    async def publish(self, *routes: Route, **changes: Any) -> None:
        """Adds `routes` to the others, and replaces `changes` of the state."""
        everything = {**self.state.routes, **{route.id: route for route in routes}}
        self.state = replace(self.state, revision=self.state.revision + 1, routes=everything, **changes)
        await self._push()

    async def fill(self, *pools: Pool) -> None:
        """Publishes pools, as the control plane does when nodes report."""
        self.live.update({pool.name: pool for pool in pools})
        self.state = replace(self.state, revision=self.state.revision + 1)
        await self._push()

    async def forget_routes_of(self, before: ResourceSnapshot) -> None:
        """Restores the routes of an earlier snapshot in Envoy, as if the next ones had not reached it yet."""
        self.state = replace(self.state, revision=self.state.revision + 1)
        now = self.snapshot()
        await self._push(ResourceSnapshot(now.revision, {**now.resources, ROUTE: before.of_type(ROUTE)}))

    async def _push(self, snapshot: ResourceSnapshot | None = None) -> None:
        self._ads.publish(snapshot or self.snapshot())
        done = await self.clients.wait_settled(self.state.revision, 240)
        assert (done.complete, done.accepted, done.rejections) == (True, 2, ()), done

    def snapshot(self) -> ResourceSnapshot:
        """Returns the snapshot that would be published now."""
        return self.builder.build(self.state.revision, self.state, self.live)

    async def ask(self, key: str, model: str, **body: Any) -> Answer:
        """Sends a chat completion."""
        return await self.request("POST", "/v1/chat/completions", key, chat(model, **body))

    async def request(self, method: str, path: str, key: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Sends a request on a connection of its own, so that every worker gets some."""
        url = f"http://127.0.0.1:{self.ports['openai']}{path}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.request(method, url, json=body, headers=bearer(key)) as answer,
        ):
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def targets(self, key: str, model: str, count: int = 12) -> list[str]:
        """Returns the nodes that served `count` requests, one after the other; all of them must succeed."""
        found = []
        for _ in range(count):
            answer = await self.ask(key, model)
            assert answer.status == 200, answer
            found.append(answer.headers["x-trunkline-target"])
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['openai']}/v1/chat/completions"

    def channel(self, tls: NodeTls) -> grpc.aio.Channel:
        """Returns a gRPC channel to the tunnel listener, like a sidecar's."""
        identity = tls.identity
        credentials = grpc.ssl_channel_credentials(
            tls.ca_pem.encode(),
            identity.key.encode() if identity else None,
            identity.certificate.encode() if identity else None,
        )
        options = (("grpc.ssl_target_name_override", GATEWAY_NAME),)
        return grpc.aio.secure_channel(f"127.0.0.1:{self.ports['tunnel']}", credentials, options)

    async def logged(self, key: str, model: str) -> RequestLine:
        """Sends one more request. Returns its line in the access log."""
        answer = await self.ask(key, model)
        request_id = answer.headers["X-Request-ID"]

        async def found() -> RequestLine | None:
            written = self.layout.access_log.read_bytes().splitlines(keepends=True)
            parsed = [lines.parse(line) for line in written if line.endswith(b"\n")]
            return next(
                (each for each in parsed if each and each.reservation and each.reservation.id == request_id), None
            )

        line = await until_answered(found)
        assert line is not None
        return line

    async def nodes_with_tunnels(self) -> int:
        """Returns the number of nodes with tunnels, summed over the workers."""
        text = await self._stats("worker_.*total_nodes")
        return sum(int(line.rpartition(":")[2]) for line in text.splitlines())

    async def ejections(self, model: str) -> tuple[int, int]:
        """Returns how many of a model's machines are ejected now, and how many ejections there have been."""
        text = await self._stats(rf"nodes/{model}\..*ejections_(active|enforced_total)$")
        counts = {
            line.rpartition(".")[2].partition(":")[0]: int(line.rpartition(":")[2]) for line in text.splitlines()
        }
        return counts["ejections_active"], counts["ejections_enforced_total"]

    async def _stats(self, pattern: str) -> str:
        connector = aiohttp.UnixConnector(str(self.layout.envoy_admin_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://envoy/stats", params={"filter": pattern}) as answer,
        ):
            return await answer.text()

    def envoy_mib(self) -> float:
        """Returns the anonymous memory of the Envoy process in MiB."""
        status = Path(f"/proc/{self._processes[1].pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        return int(line.split()[1]) / 1024

    async def certificate(self) -> bytes:
        """Returns the certificate (DER) that the tunnel listener presents."""
        context = ssl.create_default_context(cadata=self.authority.pem)
        _, writer = await asyncio.open_connection(*self.tunnel, ssl=context, server_hostname=GATEWAY_NAME)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return bytes(shown)

    async def _ready(self) -> bool:
        for port in self.ports.values():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert all(each.returncode is None for each in self._processes), self.logs()
                return False
            writer.close()
        settled = await self.clients.wait_settled(self.state.revision, 60)
        return settled.accepted == 2

    def logs(self) -> str:
        return "".join(path.read_text()[-4000:] for path in (self.layout.log("envoy"), self.layout.log("t")))

    async def _envoy(self) -> asyncio.subprocess.Process:
        command = [str(envoy.binary()), "-c", str(self.layout.bootstrap), "--concurrency", str(WORKERS)]
        command += ["--service-node", "envoy-test", "--service-cluster", "envoy", "--disable-hot-restart"]
        command += ["--file-flush-interval-msec", "20"]
        modules = envoy_module.directory(self.layout.data_dir)
        return await _started(command, self.layout.log("envoy"), envoy.environment(self.layout, modules))

    async def _translator(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-P", "-m", "translator", "--control", f"unix:{self.layout.xds_socket}"]
        command += ["--state-dir", str(self.layout.translator_state), "--id", "translator-test"]
        command += ["--socket", str(self.layout.translator_socket), "--ledger-dir", str(self.layout.ledger)]
        return await _started(command, self.layout.log("t"))


async def _started(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    with log.open("wb") as file:
        return await asyncio.create_subprocess_exec(
            *command, stdout=file, stderr=file, env={**os.environ, **(environment or {})}
        )


def bearer(key_id: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value(key_id)}"}


def chat(model: str, **more: Any) -> dict[str, Any]:
    """Returns the body of a new conversation, which has no machine yet."""
    return {"model": model, "messages": [{"role": "user", "content": f"hello {next(_CONVERSATIONS)}"}], **more}


def value(key_id: str) -> str:
    """Returns the value that a client sends for the key `key_id`."""
    return f"sk-of-the-tests-{key_id}"


def key(key_id: str, organisation: str) -> Key:
    """Returns a key of `organisation`."""
    return Key(key_id, organisation, key_id, sha256(value(key_id).encode()).digest())


def through_tunnel(model: str, *names: str, audience: str = "", own: bool = False) -> Pool:
    """Returns a pool of nodes behind tunnels."""
    return Pool(model, tuple(PoolEndpoint(name, own=own) for name in names), audience)
