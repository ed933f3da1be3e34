"""`python -m bench.nodes`: measures what many nodes cost the control plane, and whether any loses its lease.

It runs 200 sidecars with heartbeats, renewals and a tenth of them leaving and returning, then 2,000 with only
heartbeats, against `trunkline up`: through its tunnel listener (`--way tunnel`), or directly at the control
plane's Unix socket, as Envoy would call it (`--way socket`). The sidecars use part of the machine's CPU too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc.aio
from tabulate import tabulate
from trunkline_proto.admin.v1 import admin_pb2, admin_pb2_grpc

from bench.errors import BenchError
from bench.gateway import Gateway, document, roles_below, started
from bench.lock import exclusive
from bench.nodes_sidecars import MODEL, Counts, Plan
from bench.processes import Child, cpu_us, memory
from bench.scenarios import PLAIN_MODEL
from bench.upstream import running_upstream

#: The number of sidecars in one process.
PER_PROCESS = 500
JOIN_SECONDS = 600.0
#: Seconds between the last join and the measurement.
SETTLE_SECONDS = 10.0
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scene:
    """`flapping` percent leave and return; certificates are renewed every `renew_seconds`, 0: never."""

    name: str
    nodes: int
    flapping: int
    renew_seconds: float


SCENES = (
    Scene("heartbeats 2 s, renewals, 10 % flapping", 200, 10, 20.0),
    Scene("heartbeats 2 s", 2_000, 0, 0.0),
)


@dataclass(slots=True)
class Seen:
    """Counts, through the Admin API, how often a node that was never away was not online, and the number of
    checks.
    """

    looks: int = 0
    lease_errors: int = 0


def main() -> None:
    given = _arguments()
    try:
        with exclusive():
            rows = [
                _measure(scene, given.way, given.seconds) for scene in SCENES if given.nodes in {0, scene.nodes}
            ]
    except BenchError as error:
        sys.exit(f"bench.nodes: {error}")
    print(tabulate(rows, headers="keys", disable_numparse=True))


def _measure(scene: Scene, way: str, seconds: float) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="tl-") as name, ExitStack() as stack:
        directory = Path(name)
        upstream = stack.enter_context(running_upstream(directory))
        gateway = stack.enter_context(_gateway(directory, upstream.port))
        roles = roles_below(gateway.child.pid)
        (pid,), (envoy,) = roles["xds_server"], roles["envoy"]
        _say(f"{scene.nodes:,} nodes: inviting them")
        begun = time.monotonic()
        tokens = asyncio.run(_invite(gateway, scene.nodes))
        address, ca_pem = _reach(directory, way)
        children = []
        for first in range(0, scene.nodes, PER_PROCESS):
            some = tokens[first : first + PER_PROCESS]
            plan = Plan(address, ca_pem, some, len(some) * scene.flapping // 100, scene.renew_seconds)
            children.append(stack.enter_context(_sidecars(directory / f"sidecars-{first}", plan)))
        unsteady = {id_ for child in children for id_ in _joined(child)}
        _say(f"{scene.nodes:,} nodes: joined after {time.monotonic() - begun:.0f} s; measuring {seconds:.0f} s")
        time.sleep(SETTLE_SECONDS)
        before, envoy_before, began = cpu_us(pid), cpu_us(envoy), time.monotonic()
        at_first = memory(pid).anonymous
        seen = asyncio.run(_watch(gateway, scene.nodes, unsteady, began + seconds))
        took = (time.monotonic() - began) * 1_000_000
        cpu, envoy_cpu, at_last = cpu_us(pid) - before, cpu_us(envoy) - envoy_before, memory(pid)
        counts = [_counts(child) for child in children]
        return {
            "nodes": f"{scene.nodes:,}",
            "with": scene.name,
            "way": way,
            "s": f"{seconds:.0f}",
            "xds_server CPU %": f"{100 * cpu / took:.1f}",
            "MiB at first": f"{at_first / 1024:.0f}",
            "MiB at last": f"{at_last.anonymous / 1024:.0f}",
            "Envoy CPU %": f"{100 * envoy_cpu / took:.1f}",
            "reports": f"{sum(each.reports for each in counts):,}",
            "renewals": f"{sum(each.renewals for each in counts):,}",
            "flaps": f"{sum(each.flaps for each in counts):,}",
            "streams lost": f"{sum(each.ended for each in counts):,}",
            "lease errors": f"{seen.lease_errors:,} in {seen.looks} looks",
            "last error": next((each.last_error for each in counts if each.last_error), ""),
        }


@contextmanager
def _gateway(directory: Path, upstream_port: int) -> Iterator[Gateway]:
    routes = [
        {"model": PLAIN_MODEL, "targets": [{"provider": "bench", "model": PLAIN_MODEL}]},
        {"model": MODEL, "targets": [{"nodes": MODEL}]},
    ]
    config = document({"bench": upstream_port}, routes)
    with started(directory, "data", config, ready_model=PLAIN_MODEL) as gateway:
        yield gateway


def _reach(directory: Path, way: str) -> tuple[str, str]:
    """Returns the address that sidecars call, and the CA that they trust."""
    data = directory / "data"
    if way == "socket":
        return f"unix:{data}/run/xds.sock", ""
    url = json.loads((data / "credentials.json").read_text())["tunnel"]
    unpinned = ssl.create_default_context()
    unpinned.check_hostname, unpinned.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"{url}/ca.pem", timeout=10, context=unpinned) as answer:
        return url.removeprefix("https://"), answer.read().decode()


async def _invite(gateway: Gateway, nodes: int) -> list[str]:
    async with grpc.aio.insecure_channel(gateway.control) as channel:
        invite = admin_pb2_grpc.AdminStub(channel).InviteNode
        request = admin_pb2.InviteNodeRequest(organisation="default", ttl_seconds=3_600)
        metadata = (("authorization", f"Bearer {gateway.admin_token}"),)
        return [(await invite(request, metadata=metadata)).token for _ in range(nodes)]


@contextmanager
def _sidecars(path: Path, plan: Plan) -> Iterator[Child]:
    file = path.with_suffix(".json")
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(plan)))
    with Child([sys.executable, "-m", "bench.nodes_sidecars", str(file)], path.with_suffix(".log")) as child:
        yield child


def _joined(child: Child) -> list[str]:
    found: list[str] = json.loads(child.wait_for_line(r"^joined (.*)$", JOIN_SECONDS)[1])
    return found


def _counts(child: Child) -> Counts:
    child.terminate()
    return Counts(**json.loads(child.wait_for_line(r"^counts (.*)$", 60)[1]))


async def _watch(gateway: Gateway, nodes: int, unsteady: set[str], until: float) -> Seen:
    """Checks every node repeatedly."""
    seen = Seen()
    metadata = (("authorization", f"Bearer {gateway.admin_token}"),)
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(gateway.control, options=options) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        while time.monotonic() < until:
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
            listed = (await stub.ListNodes(admin_pb2.ListNodesRequest(), metadata=metadata)).nodes
            steady = [each for each in listed if each.id not in unsteady]
            seen.looks += 1
            seen.lease_errors += nodes - len(unsteady) - sum(each.state == "online" for each in steady)
    return seen


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.nodes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, of each scene; default: 60")
    parser.add_argument("--nodes", type=int, default=0, choices=[0, *(each.nodes for each in SCENES)])
    parser.add_argument("--way", default="tunnel", choices=["tunnel", "socket"])
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
