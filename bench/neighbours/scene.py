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
#: What both organisations may ask for, at both providers.
PLAIN = "plain"
#: Its streams: this many events, this many milliseconds apart.
EVENTS, PAUSE_MS = 10, 20
PACED = f"paced-{EVENTS}-{PAUSE_MS}"
#: The attacker's alone: its own node.
GREEDY = "greedy"
FIRST_BYTE_SECONDS = 2
_NODE_SECONDS = 30.0
_KEYS = {VICTIM: "sk-of-the-victim-0123456789", ATTACKER: "sk-of-the-attacker-0123456789"}


@dataclass(frozen=True, slots=True)
class Prey:
    """What an attacker knows, as a file hands it to the attacker's process. `scale` 1 is the whole attack."""

    port: int
    key: str = field(repr=False)
    control: str
    admin_token: str = field(repr=False)
    seconds: float
    scale: float

    @property
    def origin(self) -> str:
        """Of the gateway's URLs."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, path: Path) -> None:
        """For `read`; the file holds secrets."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway that runs. `node` is the attacker's, where it has one."""

    gateway: Gateway
    directory: Path
    node: Child | None

    def request(self, model: str, *, stream: bool) -> bytes:
        """The victim's, as it goes over the wire."""
        return request_bytes(model, 1024, _KEYS[VICTIM], stream=stream)

    def prey(self, seconds: float, scale: float) -> Prey:
        """What the attacker gets to know."""
        gateway = self.gateway
        key = _KEYS[ATTACKER]
        return Prey(gateway.port, key, gateway.control, gateway.admin_token, seconds, scale)


@contextmanager
def opened(directory: Path, name: str, *, routes: int = 0, node: bool = False) -> Iterator[Scene]:
    """Starts all of it; `routes` more make what Envoys are sent large. Raises BenchError."""
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
    """A channel to close, a stub, and the metadata of an operator's calls."""
    channel = grpc.insecure_channel(gateway.control)
    return channel, admin_pb2_grpc.AdminStub(channel), (("authorization", f"Bearer {gateway.admin_token}"),)


def recorded(gateway: Gateway, organisation: str) -> int:
    """How many requests of an organisation the books have."""
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
    """Joined and serving: a real sidecar before a server that lies, at the highest price."""
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
