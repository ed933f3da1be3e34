"""Compares a node with a provider, at one gateway and in the same rounds: the cost of the tunnel and the sidecar.

The same upstream is the provider and the node's local server. Both have another name for the model than clients.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import aiohttp
import grpc
from trunkline_proto.admin.v1 import admin_pb2, admin_pb2_grpc

from bench.errors import ProcessFailedError
from bench.gateway import Gateway, document, roles_below, started, wait_for_ledger
from bench.load import Load
from bench.processes import Child
from bench.rounds import Outcome, Progress, measure as measure_rounds
from bench.scenarios import PLAIN_MODEL, STREAM_MODEL, Scenario
from bench.subject import Subject
from bench.timed import Timed
from bench.upstream import running_upstream

GROUP = "through a node"
WAYS = ("provider", "node")
SERVES_SECONDS = 30.0
_STAMP = re.compile(rb"data: (\d{20}) ")


@dataclass(frozen=True, slots=True)
class Ages:
    """`streams` at once, of `events` each, one every `pause` microseconds."""

    streams: int
    events: int
    pause: int

    @property
    def model(self) -> str:
        return f"events-{self.events}-{self.pause}"


AGES = (Ages(1, 1_000, 2_000), Ages(20, 150, 20_000))


def scenarios(seconds: float) -> tuple[Scenario, ...]:
    """The scenarios for both."""
    closed, streams = Load(connections=16, seconds=seconds), Load(connections=40, seconds=seconds)
    steady, low = Load(connections=64, seconds=seconds, rate=200), Load(connections=50, seconds=seconds, rate=50)
    return (
        Scenario(f"{GROUP}: plain 1 KB, 200/s", PLAIN_MODEL, 1024, False, steady, "request"),
        Scenario(f"{GROUP}: plain 1 KB, closed loop", PLAIN_MODEL, 1024, False, closed, "request"),
        Scenario(f"{GROUP}: stream 1 KB", STREAM_MODEL, 1024, True, streams, "event"),
        Scenario(f"{GROUP}: low load, plain 1 KB", PLAIN_MODEL, 1024, False, low, "request"),
    )


def measure(
    directory: Path, rounds: int, seconds: float, progress: Progress, plans: Sequence[Ages] = AGES
) -> tuple[list[Outcome], list[Timed]]:
    """Measures CPU and throughput of both, and the age of events at their arrival. Raises BenchError."""
    models = (PLAIN_MODEL, STREAM_MODEL)
    stamped = tuple(each.model for each in plans)
    with ExitStack() as stack:
        upstream = stack.enter_context(running_upstream(directory, "node-upstream", models))
        command = [sys.executable, "-m", "bench.tunnel_local", *stamped]
        local = stack.enter_context(Child(command, directory / "stamping.log"))
        stamping = int(local.wait_for_line(r"^port (\d+)$", 30)[1])
        routes = [
            {"model": f"{way}-{model}", "targets": [target]}
            for known, provider in ((models, "bench"), (stamped, "stamping"))
            for model in known
            for way, target in zip(WAYS, ({"provider": provider, "model": model}, {"nodes": model}), strict=True)
        ]
        config = document({"bench": upstream.port, "stamping": stamping}, routes)
        arguments = ("--envoy-concurrency", "1")
        gateway = stack.enter_context(
            started(directory, "node-gateway", config, ready_model=f"provider-{PLAIN_MODEL}", arguments=arguments)
        )
        sidecar = stack.enter_context(joined(directory, gateway, upstream.port, stamping))
        asyncio.run(_serves(gateway, f"node-{PLAIN_MODEL}", sidecar))
        roles = roles_below(gateway.child.pid)
        finish = partial(wait_for_ledger, gateway.admin_url)
        provider = Subject("provider", gateway.port, roles, gateway.api_key, "provider-", finish)
        subjects = [
            provider,
            replace(provider, name="node", roles={**roles, "sidecar": (sidecar.pid,)}, prefix="node-"),
        ]
        ages = [
            Timed.of(
                GROUP,
                f"age of an event by {way}, {each.streams} streams",
                asyncio.run(_ages(gateway, way, each)),
                None,
            )
            for each in plans
            for way in WAYS
        ]
        outcomes = [measure_rounds(each, subjects, rounds, directory, progress) for each in scenarios(seconds)]
        return outcomes, ages


@contextmanager
def joined(directory: Path, gateway: Gateway, *ports: int, name: str = "node") -> Iterator[Child]:
    """Runs a node of `gateway` whose local servers listen on these ports."""
    with grpc.insecure_channel(gateway.control) as channel:
        invitation = admin_pb2_grpc.AdminStub(channel).InviteNode(
            admin_pb2.InviteNodeRequest(organisation="default", ttl_seconds=600),
            metadata=(("authorization", f"Bearer {gateway.admin_token}"),),
        )
    command = [sys.executable, "-m", "node_sidecar", "join", invitation.join_url, "--concurrency", "0"]
    command += [word for port in ports for word in ("--upstream", f"http://127.0.0.1:{port}")]
    state = {"TRUNKLINE_NODE_STATE_DIR": str(directory / name), "TRUNKLINE_JOIN_TOKEN": invitation.token}
    with Child(command, directory / f"{name}.log", state) as child:
        yield child


async def _serves(gateway: Gateway, model: str, sidecar: Child) -> None:
    """Waits until the node answers. Raises ProcessFailedError."""
    deadline = time.monotonic() + SERVES_SECONDS
    async with _session(gateway) as session:
        while True:
            async with session.post(_url(gateway), data=_body(model, stream=False)) as answer:
                await answer.read()
                if answer.status == 200:
                    return
            if time.monotonic() > deadline:
                raise ProcessFailedError(f"the node does not serve; its last words:\n{sidecar.output()[-2000:]}")
            await asyncio.sleep(0.05)


async def _ages(gateway: Gateway, way: str, plan: Ages) -> list[float]:
    """Returns the seconds from the local server's write of each event to its arrival here."""
    async with _session(gateway) as session:

        async def read() -> list[float]:
            ages: list[float] = []
            async with session.post(_url(gateway), data=_body(f"{way}-{plan.model}", stream=True)) as answer:
                if answer.status != 200:
                    raise ProcessFailedError(f"{way} answers {answer.status}: {await answer.text()}")
                async for piece in answer.content.iter_any():
                    now = time.monotonic_ns()
                    ages += [(now - int(stamp)) / 1e9 for stamp in _STAMP.findall(piece)]
            return ages

        return [age for ages in await asyncio.gather(*(read() for _ in range(plan.streams))) for age in ages]


def _session(gateway: Gateway) -> aiohttp.ClientSession:
    headers = {"authorization": f"Bearer {gateway.api_key}", "content-type": "application/json"}
    return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))


def _url(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.port}/v1/chat/completions"


def _body(model: str, *, stream: bool) -> bytes:
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    ).encode()
