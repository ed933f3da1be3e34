from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import structlog
from structlog.testing import capture_logs
from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar import node as nodes
from node_sidecar.direct_address import DirectAddress
from node_sidecar.machine import Machine
from node_sidecar.node import RunningNode
from node_sidecar.preferences import idle
from node_sidecar.preferences.availability import Serves
from node_sidecar.preferences.idle import IdleRule
from node_sidecar.preferences.model import Preferences, UpstreamPreference
from node_sidecar.probes.kind import Model, Observation
from node_sidecar.probes.watch import Watch
from node_sidecar.serving.gate import Gate
from node_sidecar.serving.refusal import Refusal
from node_sidecar.serving_parts import Serving
from node_sidecar.state import UNKNOWN_CACHE
from node_sidecar.upstreams import Upstreams
from node_sidecar.use.gpu import Gpu
from node_sidecar.use.owner import OwnerUse

PREFERENCE = UpstreamPreference("http://127.0.0.1:1", kind="vllm")


class _Tunnels:
    """Counts the tunnels that were requested."""

    connected = 0
    count = 1
    ready = True

    def __init__(self) -> None:
        self.on_ready: Callable[[], None] = lambda: None

    def set_count(self, count: int) -> None:
        self.count = count

    def drain(self) -> None: ...

    async def drained(self) -> None: ...

    async def run(self) -> None: ...


class _Reader:
    """A machine whose readings the test sets."""

    def __init__(self, *gpus: Gpu, use: OwnerUse | None = None) -> None:
        self.read = gpus
        self.use = use or OwnerUse()

    async def gpus(self) -> tuple[Gpu, ...]:
        return self.read

    async def owner_use(self, *_: object) -> OwnerUse:
        return self.use


def _node(preferences: Preferences, reader: _Reader | None = None) -> tuple[RunningNode, Watch, Gate, _Tunnels]:
    log = structlog.get_logger()
    watch, gate, tunnels = Watch(preferences.upstreams, log), Gate(4, 4), _Tunnels()
    node = RunningNode(
        preferences=preferences,
        watch=watch,
        upstreams=Upstreams(watch.servers, preferences),
        serving=Serving(gate, tunnels),
        machine=Machine(log, reader or _Reader()),
        direct_address=DirectAddress(preferences.direct, log),
        log=log,
    )
    return node, watch, gate, tunnels


async def test_it_is_closed_until_its_tunnels_are_open() -> None:
    """A request sent earlier would fail, and count against the node."""
    node, _, _, tunnels = _node(Preferences(maintenance=True))
    reported = asyncio.Event()
    node.changed = reported.set
    shown = node.state().availability
    assert (shown.serves, shown.reason) == (Serves.CLOSED, "its tunnels are not open")
    node.on_instruction(wire.NodeInstruction(tunnels=4))
    assert reported.is_set()
    assert node.state().availability.serves is Serves.OWNER_ONLY
    reported.clear()
    tunnels.ready = False
    tunnels.on_ready()
    assert reported.is_set()
    assert node.state().availability.serves is Serves.CLOSED


async def test_what_others_run_on_the_local_server_counts_as_load() -> None:
    node, watch, gate, _ = _node(Preferences(upstreams=(PREFERENCE,)))
    assert node.state().load == wire.Load(concurrency_limit=4, kv_cache_permille=UNKNOWN_CACHE)
    watch.servers[0].health.observed(0.0, Observation((Model("m"),), True, 3, 2, 700))
    async with gate.enter(own=False):
        assert node.state().load == wire.Load(in_flight=3, queued=2, concurrency_limit=4, kv_cache_permille=700)


async def test_the_gateway_sets_how_many_tunnels_within_reason() -> None:
    node, _, _, tunnels = _node(Preferences())
    for reported, kept in ((4, 4), (0, 1), (100_000, 64)):
        node.on_instruction(wire.NodeInstruction(tunnels=reported))
        assert tunnels.count == kept


async def test_a_name_is_no_direct_address() -> None:
    for direct, reported in (("", ""), ("10.0.0.5:8443", "10.0.0.5:8443"), ("rig.example.org:8443", "")):
        node, *_ = _node(Preferences(direct=direct))
        assert node.state().facts.direct_address == reported


async def test_preferences_that_wait_for_the_next_start_are_reported() -> None:
    node, *_ = _node(Preferences())
    with capture_logs() as logs:
        node.apply(Preferences(concurrency=9, maintenance=True))
    assert {
        "event": "takes effect at the next start",
        "preferences": ["concurrency"],
        "log_level": "warning",
    } in logs


async def test_a_change_of_preferences_is_new_to_the_gateway() -> None:
    node, *_ = _node(Preferences())
    reported: list[str] = []
    node.changed = lambda: reported.append(node.state().availability.reason)
    node.apply(Preferences(paused=True))
    assert reported[-1] == "paused by its owner"


async def test_a_node_pending_approval_says_so_once() -> None:
    node, *_ = _node(Preferences())
    with capture_logs() as logs:
        for pending in (True, True, False):
            node.on_instruction(wire.NodeInstruction(pending_approval=pending))
    assert [entry["event"] for entry in logs] == [
        "an operator has yet to approve this node: `trunkline nodes approve`",
        "node approved",
    ]


async def test_models_that_cannot_be_offered_are_reported() -> None:
    node, watch, *_ = _node(Preferences(upstreams=(PREFERENCE,)))
    watch.servers[0].health.observed(0.0, Observation((Model("x" * 300), Model("m"))))
    with capture_logs() as logs:
        assert [offer.model for offer in node.state().offers] == ["m"]
        node.state()
    assert [entry["count"] for entry in logs] == [1]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the node look at the machine without pauses."""
    monkeypatch.setattr(nodes, "_TICK", 0.01)


async def _until(node: RunningNode, *, serves: Serves, reason: str) -> None:
    """Waits until the node would report this."""
    reported = asyncio.Event()
    node.changed = reported.set
    async with asyncio.timeout(60):
        while (shown := node.state().availability).serves is not serves or shown.reason != reason:
            reported.clear()
            await reported.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
async def test_a_machine_in_use_serves_nobody_else_until_it_is_idle() -> None:
    reader = _Reader(use=OwnerUse(cpu=90.0))
    node, _, gate, _ = _node(Preferences(idle=IdleRule(cpu=20, gpu=None, after=0.05)), reader)
    node.on_instruction(wire.NodeInstruction(tunnels=1))
    assert node.state().availability.serves is Serves.CLOSED
    with pytest.raises(Refusal, match="node_closed"):
        gate.check(own=False)
    async with _looking(node):
        reader.use = OwnerUse(cpu=3.0)
        await _until(node, serves=Serves.OPEN, reason="")
        gate.check(own=False)
        reader.use = OwnerUse(cpu=90.0)
        await _until(node, serves=Serves.CLOSED, reason="its owner is using the machine")


@pytest.mark.usefixtures("quick")
async def test_a_rule_about_a_gpu_that_cannot_be_read_closes_the_node_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle, "UNREADABLE_AFTER", 0.05)
    node, *_ = _node(Preferences(idle=IdleRule(cpu=20, gpu=10, after=0.01)), _Reader(use=OwnerUse(cpu=1)))
    node.on_instruction(wire.NodeInstruction(tunnels=1))
    with capture_logs() as logs:
        async with _looking(node):
            await _until(node, serves=Serves.CLOSED, reason="cannot see whether its owner uses the machine")
    assert {
        "event": "the rule `idle` cannot be checked, so others are not served",
        "unreadable": "gpu",
        "log_level": "error",
    } in logs
    assert node.state().load.idle.state == "unreadable"


@pytest.mark.usefixtures("quick")
async def test_a_measurement_is_asked_for_and_refuses_nobody() -> None:
    """The gateway sends no more requests; those that arrive nevertheless are served."""
    serving = OwnerUse(cpu=1, gpu=100, separate=False, in_flight=1)
    reader = _Reader(use=replace(serving, gpu=0, in_flight=0))
    node, _, gate, _ = _node(Preferences(idle=IdleRule(cpu=20, gpu=10, after=0.05, recheck=0.1)), reader)
    node.on_instruction(wire.NodeInstruction(tunnels=1))
    async with _looking(node):
        await _until(node, serves=Serves.OPEN, reason="")
        reader.use = serving
        async with asyncio.timeout(60):
            while not node.state().measurement_wanted:
                await asyncio.sleep(0)
        node.on_instruction(wire.NodeInstruction(tunnels=1, measure=True))
        shown = node.state()
        assert shown.availability.serves is Serves.CLOSED
        assert shown.measurement_wanted
        gate.check(own=False)


async def test_gpus_are_reported_also_those_that_are_found_later() -> None:
    reader = _Reader()
    node, *_ = _node(Preferences(idle=IdleRule(cpu=20, gpu=None)), reader)
    reported = asyncio.Event()
    node.changed = reported.set
    async with _looking(node):
        reader.read = (Gpu("RTX", 1 << 30, 41.6, 1 << 20),)
        async with asyncio.timeout(60):
            while not node.state().facts.gpus:
                reported.clear()
                await reported.wait()
    shown = node.state()
    assert shown.facts.gpus[0] == wire.Gpu(name="RTX", memory_bytes=1 << 30)
    assert shown.load.gpus[0] == wire.GpuLoad(use_percent=42, memory_free=1 << 20)


@asynccontextmanager
async def _looking(node: RunningNode) -> AsyncIterator[None]:
    clock = asyncio.create_task(node.follow_clock())
    try:
        yield
    finally:
        clock.cancel()
        with suppress(asyncio.CancelledError):
            await clock
