"""The gateway, a victim and an attacker: two organisations, shared providers, and the attacker's node."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import grpc
from trunkline_proto.admin.v1 import admin_pb2, admin_pb2_grpc

from bench.gateway import Gateway, document, started
from bench.load import request_bytes
from bench.processes import Child
from tests.fakes.provider_process import ProviderProcess

VICTIM, ATTACKER = "victim", "attacker"
#: The models of both organisations, at both providers.
PLAIN = "plain"
#: The number of events of its streams, and the milliseconds between them.
EVENTS, PAUSE_MS = 10, 20
PACED = f"paced-{EVENTS}-{PAUSE_MS}"
#: The model of the attacker's own node.
GREEDY = "greedy"
FIRST_BYTE_SECONDS = 2
_NODE_SECONDS = 30.0
_KEYS = {VICTIM: "sk-of-the-victim-0123456789", ATTACKER: "sk-of-the-attacker-0123456789"}


@dataclass(frozen=True, slots=True)
class Prey:
    """An attacker's knowledge, passed to its process in a file. `scale` 1 is the full attack."""

    port: int
    key: str = field(repr=False)
    control: str
    admin_token: str = field(repr=False)
    seconds: float
    scale: float

    @property
    def origin(self) -> str:
        """The ports of the gateway's URLs."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, path: Path) -> None:
        """Writes the file for `read`; it contains secrets."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file of `write`."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True, slots=True)
class Scene:
    """A running gateway. `node` is the attacker's, if it has one."""

    gateway: Gateway
    directory: Path
    node: Child | None

    def request(self, model: str, *, stream: bool) -> bytes:
        """Returns the bytes of the victim's request."""
        return request_bytes(model, 1024, _KEYS[VICTIM], stream=stream)

    def prey(self, seconds: float, scale: float) -> Prey:
        """Returns what the attacker knows."""
        gateway = self.gateway
        key = _KEYS[ATTACKER]
        return Prey(gateway.port, key, gateway.control, gateway.admin_token, seconds, scale)


@contextmanager
def opened(directory: Path, name: str, *, routes: int = 0, node: bool = False) -> Iterator[Scene]:
    """Starts everything; `routes` more routes make the configuration for Envoys large. Raises BenchError."""
    with ExitStack() as stack:
        ports = {each: stack.enter_context(ProviderProcess(each)).port for each in ("a", "b")}
        gateway = stack.enter_context(
            started(
                directory, name, _config(ports, routes), ready_model=PLAIN, arguments=("--envoy-concurrency", "2")
            )
        )
        child = stack.enter_context(_node(directory / f"{name}-node", gateway)) if node else None
        yield Scene(gateway, directory, child)


def admin(gateway: Gateway) -> tuple[grpc.Channel, admin_pb2_grpc.AdminStub, tuple[tuple[str, str], ...]]:
    """Returns a channel to close, a stub, and the metadata of an operator's calls."""
    channel = grpc.insecure_channel(gateway.control)
    return channel, admin_pb2_grpc.AdminStub(channel), (("authorization", f"Bearer {gateway.admin_token}"),)


def recorded(gateway: Gateway, organisation: str) -> int:
    """Returns how many requests of an organisation the ledger has."""
    channel, stub, metadata = admin(gateway)
    with channel:
        filter_ = admin_pb2.UsageFilter(organisation=organisation, since=int(time.time()) - 3_600)
        rows = stub.ReportUsage(admin_pb2.ReportUsageRequest(filter=filter_), metadata=metadata, timeout=60).rows
    return sum(row.requests for row in rows)


def _config(ports: dict[str, int], routes: int) -> str:
    shared = [
        {
            "model": model,
            "targets": [{"provider": name, "model": model} for name in ports],
            "timeouts": {"first_byte": f"{FIRST_BYTE_SECONDS}s"},
        }
        for model in (PLAIN, PACED)
    ]
    own = [{"model": GREEDY, "organisation": ATTACKER, "targets": [{"nodes": GREEDY}]}]
    many = [
        {"model": f"model-{number}", "targets": [{"provider": "a", "model": f"model-{number}"}]}
        for number in range(routes)
    ]
    organisations = [
        {"name": name, "keys": [{"name": "key", "value": value}]} for name, value in sorted(_KEYS.items())
    ]
    return json.dumps(json.loads(document(ports, [*shared, *own, *many])) | {"organisations": organisations})


@contextmanager
def _node(directory: Path, gateway: Gateway) -> Iterator[Child]:
    """Runs a real sidecar, joined and serving at the highest price, in front of a server that lies."""
    directory.mkdir()
    (directory / "node.yaml").write_text(json.dumps({"prices": {"*": {"input": 1_000_000, "output": 1_000_000}}}))
    with ExitStack() as stack:
        local = stack.enter_context(
            Child([sys.executable, "-m", "bench.neighbours.greedy_server"], directory / "server.log")
        )
        port = local.wait_for_line(r"^port (\d+)$", _NODE_SECONDS)[1]
        channel, stub, metadata = admin(gateway)
        with channel:
            request = admin_pb2.InviteNodeRequest(organisation=ATTACKER, ttl_seconds=600)
            invitation = stub.InviteNode(request, metadata=metadata, timeout=30)
        command = [sys.executable, "-m", "node_sidecar", "join", invitation.join_url, "--concurrency", "0"]
        command += ["--upstream", f"http://127.0.0.1:{port}"]
        state = {"TRUNKLINE_NODE_STATE_DIR": str(directory), "TRUNKLINE_JOIN_TOKEN": invitation.token}
        child = stack.enter_context(Child(command, directory / "node.log", state))
        yield child
