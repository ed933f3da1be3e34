"""How many requests run at once, depending on what the local servers can batch."""

from __future__ import annotations

from datetime import UTC

import structlog
from structlog.testing import capture_logs

from node_sidecar.concurrency import UNKNOWN, concurrency_limits
from node_sidecar.direct_address import DirectAddress
from node_sidecar.machine import Machine
from node_sidecar.node import RunningNode
from node_sidecar.preferences.model import Preferences, UpstreamPreference
from node_sidecar.preferences.schedule import Hours, Schedule
from node_sidecar.probes.kind import Model, Observation
from node_sidecar.probes.watch import Watch, WatchedServer
from node_sidecar.serving.gate import Gate
from node_sidecar.serving_parts import Serving
from node_sidecar.upstreams import Upstreams
from tests.node_sidecar.test_node import _Tunnels

LLAMA, VLLM = (
    UpstreamPreference("http://127.0.0.1:8080", kind="llama.cpp"),
    UpstreamPreference("http://127.0.0.1:8000", kind="vllm"),
)


def _server(
    preference: UpstreamPreference, *models: str, parallel: int | None = None, healthy: bool = True
) -> WatchedServer:
    server = WatchedServer(preference)
    server.health.observed(0.0, Observation(tuple(map(Model, models)), parallel=parallel))
    if not healthy:
        server.health.failed(1.0, "it is away")
    return server


def test_the_owner_comes_first() -> None:
    found = concurrency_limits([_server(LLAMA, "m", parallel=4)], Preferences(concurrency=9))
    assert (found.limit, found.models, found.source) == (9, {}, "set by the owner")
    assert concurrency_limits([], Preferences(concurrency=0)).limit == 0


def test_servers_add_up_by_model() -> None:
    found = concurrency_limits([_server(LLAMA, "m", parallel=4), _server(VLLM, "m", "n")], Preferences())
    assert found.limit == 260
    assert found.models == {"m": 260, "n": 256}
    assert found.source == (
        "llama.cpp at http://127.0.0.1:8080 reports 4; "
        "vllm at http://127.0.0.1:8000 does not report it, 256 assumed"
    )


def test_what_is_not_offered_does_not_count() -> None:
    found = concurrency_limits([_server(LLAMA, "m", parallel=4), _server(VLLM, "n")], Preferences(models=("m",)))
    assert (found.limit, found.models) == (4, {"m": 4})


def test_a_server_that_fails_does_not_count_beside_one_that_works() -> None:
    away = _server(VLLM, "n", parallel=64, healthy=False)
    assert concurrency_limits([away, _server(LLAMA, "m", parallel=4)], Preferences()).limit == 4
    assert concurrency_limits([away], Preferences()).limit == 64


def test_nothing_is_known_without_a_server() -> None:
    assert concurrency_limits([WatchedServer(LLAMA)], Preferences()).limit == UNKNOWN


def test_the_source_fits_a_report() -> None:
    many = [
        _server(UpstreamPreference(f"http://{'h' * 60}:{port}", kind="vllm"), "m") for port in range(1000, 1020)
    ]
    assert len(concurrency_limits(many, Preferences()).source.encode()) <= 256


def _node(preferences: Preferences) -> tuple[RunningNode, Watch, Gate]:
    log = structlog.get_logger()
    watch, gate = (
        Watch(preferences.upstreams, log),
        Gate(UNKNOWN if preferences.concurrency is None else preferences.concurrency, 4),
    )
    node = RunningNode(
        preferences=preferences,
        watch=watch,
        upstreams=Upstreams(watch.servers, preferences),
        serving=Serving(gate, _Tunnels()),
        machine=Machine(log),
        direct_address=DirectAddress(preferences.direct, log),
        log=log,
    )
    return node, watch, gate


async def test_the_gate_follows_the_server_and_everybody_learns_it() -> None:
    node, watch, gate = _node(Preferences(upstreams=(LLAMA,)))
    assert gate.limit == UNKNOWN
    watch.servers[0].health.observed(0.0, Observation((Model("m"),), parallel=2))
    with capture_logs() as logs:
        node.servers_changed()
    assert gate.limit == 2
    assert [each["limit"] for each in logs if each["event"] == "requests at once"] == [2]
    state = node.state()
    assert state.load.concurrency_limit == 2
    assert state.facts.concurrency_source == "llama.cpp at http://127.0.0.1:8080 reports 2"
    # The server was restarted with more slots.
    watch.servers[0].health.observed(2.0, Observation((Model("m"),), parallel=8))
    node.servers_changed()
    assert node.state().load.concurrency_limit == 8


async def test_an_owners_number_stays_whatever_the_server_tells() -> None:
    node, watch, gate = _node(Preferences(upstreams=(LLAMA,), concurrency=3))
    watch.servers[0].health.observed(0.0, Observation((Model("m"),), parallel=8))
    node.servers_changed()
    assert gate.limit == 3
    assert node.state().facts.concurrency_source == "set by the owner"


async def test_the_gateway_learns_when_the_machine_is_shared() -> None:
    nights = Schedule(UTC, "UTC", (Hours(frozenset(range(7)), 22 * 60, 6 * 60),))
    node, _, _ = _node(Preferences(upstreams=(LLAMA,), schedule=nights))
    assert node.state().facts.schedule == "22:00-06:00 (UTC)"
    node, _, _ = _node(Preferences(upstreams=(LLAMA,)))
    assert not node.state().facts.schedule
