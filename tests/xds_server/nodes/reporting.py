"""Nodes, their reports, and a clock that advances only on demand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.model import DesiredState, Node, NodesTarget, Route
from xds_server.nodes.live import LiveNodes
from xds_server.nodes.moment import Moment
from xds_server.pool import Pool

#: An hour's beginning.
BEGAN = 1_800_000_000


def node_id(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "nd-" + "".join(letters[number >> shift & 31] for shift in range(0, 80, 5))


def node(number: int = 0, organisation: str = "org_a", **values: Any) -> Node:
    return Node(node_id(number), f"node-{number}", organisation, **values)


def state(nodes: Iterable[Node] = (), *models: str, revision: int = 1) -> DesiredState:
    """Returns a state with these nodes and a route to each of `models` (default: `m`)."""
    routes = {f"rt_{model}": Route(f"rt_{model}", model, (NodesTarget(model),)) for model in models or ("m",)}
    return DesiredState(revision, routes=routes, nodes={each.id: each for each in nodes})


def offer(model: str = "m", **values: Any) -> pb.Offer:
    return pb.Offer(model=model, **{"healthy": True, **values})


def first(*offers: pb.Offer, direct: str = "", **values: Any) -> pb.NodeReport:
    """Returns a stream's first report. It offers `m` if no offers are given."""
    return pb.NodeReport(
        **{
            "sequence": 1,
            "facts": pb.NodeFacts(protocol=1, sidecar_version="0.1.0", direct_address=direct),
            "offers": offers or (offer(),),
            "offers_complete": True,
            "load": pb.Load(concurrency_limit=8, kv_cache_permille=1001),
            "availability": pb.AVAILABILITY_OPEN,
            **values,
        }
    )


def heartbeat(sequence: int = 2, **values: Any) -> pb.NodeReport:
    return pb.NodeReport(sequence=sequence, **values)


class StandingClock:
    """Two clocks that advance together, only on demand."""

    def __init__(self) -> None:
        self.now = Moment(1_000.0, float(BEGAN))

    def __call__(self) -> Moment:
        return self.now

    def move(self, seconds: float) -> Moment:
        self.now = Moment(self.now.monotonic + seconds, self.now.unix + seconds)
        return self.now


class Scene:
    """A core, its clock, and the pools as other parts see them."""

    def __init__(self, *nodes: Node, models: tuple[str, ...] = ("m",)) -> None:
        self.clock = StandingClock()
        self.live = LiveNodes()
        self.pools: dict[str, Pool] = {}
        self.departed: list[str] = []
        self.models = models
        self.desire(*nodes)

    def desire(self, *nodes: Node) -> list[str]:
        gone = self.live.desired(state(nodes, *self.models))
        self.take()
        return gone

    def report(self, number: int, report: pb.NodeReport) -> bool:
        kept = self.live.report(node_id(number), report, self.clock.now)
        self.take()
        return kept

    def change(self, changed: Node, **values: Any) -> None:
        nodes = {**self.live.nodes, changed.id: replace(changed, **values)}
        self.desire(*nodes.values())

    def wait(self, seconds: float, *reporting: int) -> None:
        """Advances the time tick by tick, while some nodes keep reporting."""
        for _ in range(round(seconds * 2)):
            self.clock.move(0.5)
            for number in reporting:
                self.live.report(node_id(number), heartbeat(), self.clock.now)
            self.departed += self.live.expire(self.clock.now).departed
            self.take()

    def take(self) -> dict[str, Pool]:
        changes = self.live.take_changes(self.clock.now)
        for name, pool in changes.items():
            assert name == pool.name
            if pool.endpoints:
                assert pool != self.pools.get(name)
                self.pools[name] = pool
            else:
                del self.pools[name]
        return changes

    def health(self, number: int, pool: str = "nodes/m@org_a") -> str | None:
        """Returns a node's health in the pool; None if it is not there."""
        endpoints = self.pools[pool].endpoints if pool in self.pools else ()
        return next((each.health for each in endpoints if each.node_id == node_id(number)), None)
