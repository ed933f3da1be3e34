"""The demonstration of `trunkline smoke --demo`: two providers, a node, an organisation and its route over
them.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline.errors import ControlError
from trunkline.smoke.demo_provider import DemoProvider

#: A node is routable about a second after it joins; on a machine that is busy it takes longer.
_ONLINE_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demonstration: its route is `organisation`'s own. `first` serves the route's first tier."""

    organisation: str
    route: admin.Route
    first: DemoProvider


@contextmanager
def demonstration(api: AdminStub) -> Iterator[Demo]:
    """Runs the providers and the node, and removes everything from the gateway at the end.

    Raises ControlError if the node does not come online.
    """
    name = f"smoke-{secrets.token_hex(3)}"
    with ExitStack() as stack:
        first, second, local = (stack.enter_context(DemoProvider()) for _ in range(3))
        api.PutOrganisation(admin.PutOrganisationRequest(organisation=admin.Organisation(name=name)))
        stack.callback(_quietly, api.DeleteOrganisation, admin.DeleteOrganisationRequest(name=name))
        for label, provider in (("a", first), ("b", second)):
            entry = admin.Provider(name=f"{name}-{label}", dialect="openai", base_url=f"{provider.address}/v1")
            api.PutProvider(admin.PutProviderRequest(provider=entry))
            stack.callback(_quietly, api.DeleteProvider, admin.DeleteProviderRequest(name=entry.name))
        targets = [
            admin.RouteTarget(
                provider=f"{name}-a", model="demo", price=policy.Price(input=2_000_000, output=8_000_000)
            ),
            admin.RouteTarget(
                provider=f"{name}-b", model="demo", tier=1, price=policy.Price(input=1_000_000, output=4_000_000)
            ),
        ]
        if importlib.util.find_spec("node_sidecar") is not None:
            stack.enter_context(_node(api, name, local.address))
            price = policy.Price(input=100_000, output=200_000)
            targets.append(admin.RouteTarget(nodes="demo", tier=2, price=price))
        route = admin.Route(model="demo", organisation=name, strategy=admin.STRATEGY_PRIORITY, targets=targets)
        api.PutRoute(admin.PutRouteRequest(route=route))
        stack.callback(_quietly, api.DeleteRoute, admin.DeleteRouteRequest(model="demo", organisation=name))
        yield Demo(name, route, first)


@contextmanager
def _node(api: AdminStub, organisation: str, upstream: str) -> Iterator[None]:
    """Runs a node on this machine in front of `upstream`, joined like any other."""
    with tempfile.TemporaryDirectory(prefix="trunkline-demo-") as directory:
        invited = api.InviteNode(admin.InviteNodeRequest(organisation=organisation, name="demo"))
        command = [sys.executable, "-m", "node_sidecar", "join", invited.join_url, "--upstream", upstream]
        environment = {
            **os.environ,
            "TRUNKLINE_JOIN_TOKEN": invited.token,
            "TRUNKLINE_NODE_STATE_DIR": directory,
        }
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            _await_online(api, organisation, process, log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _quietly(api.RemoveNode, admin.RemoveNodeRequest(node_id=f"{organisation}/demo"))


def _await_online(api: AdminStub, organisation: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _ONLINE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        nodes = api.ListNodes(admin.ListNodesRequest(organisation=organisation)).nodes
        if any(each.state == "online" and any(offer.healthy for offer in each.offers) for each in nodes):
            return
        time.sleep(_POLL_SECONDS)
    said = log.read_text(errors="replace").strip().rpartition("\n")[2][:300]
    raise ControlError(
        f"the demo's node did not come online within {_ONLINE_SECONDS:g} s; it said: {said or 'nothing'}"
    )


def _quietly(call: Callable[[Any], object], request: Any) -> None:
    """Removes one object, ignoring errors: it may already be gone, and the demonstration ends anyway."""
    with suppress(grpc.RpcError):
        call(request)
