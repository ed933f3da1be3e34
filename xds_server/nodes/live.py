"""The nodes' live state: takes reports and leases, gives the pools that change. No I/O and no clock.

Every method that may change a pool only marks its model; `take_changes` then returns the pools that differ. A
change of health is returned at once. Weights are returned at most once a second per model: see weights.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.errors import InvalidFieldError
from xds_server.model import DesiredState, Node, NodesTarget, Visibility
from xds_server.nodes import direct, pools, weights
from xds_server.nodes.direct import DirectAddresses
from xds_server.nodes.leases import Leases
from xds_server.nodes.measuring import MeasurementGrants, backed_models
from xds_server.nodes.moment import Moment
from xds_server.nodes.node_state import NodeState
from xds_server.nodes.status import LiveNode, live_node
from xds_server.nodes.uptime import Uptime
from xds_server.pool import Health, Pool, PoolEndpoint

#: Seconds between two changes of weights in a model's pools.
WEIGHTS_INTERVAL = 1.0
#: Characters that are shown of a refusal.
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Times in seconds. `departure`: how long after the end of its lease a node stays in its pools, as unhealthy.

    `stall`: if nobody asked for expiries for that long, the control plane itself was away (stopped, or busy), and
    the reports of that time are unread: every lease begins again.
    """

    heartbeat: float = 2.0
    lease: float = 6.0
    departure: float = 600.0
    stall: float = 2.0


@dataclass(frozen=True, slots=True)
class ExpiredLeases:
    """The nodes whose leases have just ended, and those that left their pools."""

    lapsed: Sequence[str]
    departed: Sequence[str]


class LiveNodes:
    """The live state of all nodes. Not thread-safe. All `now` are of one clock."""

    def __init__(self, times: LeaseTimes | None = None, addresses: DirectAddresses | None = None) -> None:
        self.times = times or LeaseTimes()
        self._permitted = addresses or DirectAddresses()
        self.uptime = Uptime()
        #: The revision of the desired state that is known here.
        self.revision = 0
        self._nodes: Mapping[str, Node] = {}
        self._routed: frozenset[str] = frozenset()
        self._audiences: frozenset[pools.Audience] = frozenset()
        self._states: dict[str, NodeState] = {}
        self._refused: dict[str, str] = {}
        self._leases = Leases()
        self._departures = Leases()
        self._offering: dict[str, set[str]] = {}
        self._members: dict[str, dict[str, pools.Member | None]] = {}
        self._addresses: dict[tuple[str, int], str] = {}
        self._pools: dict[str, dict[str, Pool]] = {}
        self._changed: set[str] = set()
        self._reweighed: set[str] = set()
        self._weighed_at: dict[str, float] = {}
        self._asked_at: float | None = None
        self._measurements = MeasurementGrants()
        self._backed: frozenset[str] = frozenset()

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Returns the desired nodes, by id."""
        return self._nodes

    @property
    def leased(self) -> int:
        """Returns how many nodes have a lease."""
        return len(self._leases)

    @property
    def has_changes(self) -> bool:
        """Returns whether `take_changes` may have something, now or within WEIGHTS_INTERVAL."""
        return bool(self._changed or self._reweighed)

    def has_lease(self, node_id: str) -> bool:
        """Returns whether the node has reported recently enough to be in its pools."""
        return node_id in self._leases

    def departed(self, node_id: str) -> bool:
        """Returns whether the node is known but in no pool because it has not reported for so long."""
        return node_id in self._states and node_id not in self._leases and node_id not in self._departures

    def may_measure(self, node_id: str, now: Moment) -> bool:
        """Returns whether the node gets no new requests for a while, to measure its owner's use (see
        measuring.py).
        """
        node_state = self._states.get(node_id)
        if node_state is None:
            return False
        wanted = node_state.measurement_wanted
        return self._measurements.decide(
            node_id,
            wanted=wanted,
            pools=self._pools_with(node_id, node_state) if wanted else (),
            rivals=(other for model in node_state.offers for other in self._offering[model] if other != node_id),
            backed=self._backed,
            now=now.monotonic,
        )

    def describe(self, node_id: str) -> LiveNode | None:
        """Returns the node's live state; None for a node that never reported."""
        node_state, refused = self._states.get(node_id), self._refused.get(node_id, "")
        if node_state is None and not refused:
            return None
        return live_node(
            self._nodes.get(node_id),
            node_state or NodeState(),
            leased=self.has_lease(node_id),
            departed=self.departed(node_id),
            refused=refused or self._refused_address(node_state),
        )

    def saved(self, node_id: str) -> bytes | None:
        """Returns what `restore` accepts; None for a node that never reported."""
        node_state = self._states.get(node_id)
        return node_state.saved() if node_state is not None else None

    def restore(self, node_id: str, saved: bytes, last_seen: float, now: Moment, *, departed: bool) -> None:
        """Restores what a node reported before the control plane's restart, with a fresh lease unless it had
        departed.

        Raises google.protobuf.message.DecodeError.
        """
        if node_id in self._states:
            return
        node_state = NodeState.restored(saved, last_seen)
        self._states[node_id] = node_state
        self._index(node_id, (), node_state)
        if not departed:
            self._claim(node_id, node_state.direct)
            self._grant(node_id, now)
            self._touch(node_id, node_state.offers)

    def report(self, node_id: str, report: pb.NodeReport, now: Moment) -> bool:
        """Takes a checked report of a node that exists. Returns True if what is worth saving differs.

        Raises InvalidFieldError.
        """
        node_state = self._states.get(node_id) or NodeState()
        if report.HasField("facts"):
            self._require_usable(node_id, report.facts.direct_address)
        before, address = node_state.offers, node_state.direct
        difference = node_state.apply(report)
        self._states[node_id] = node_state
        self._refused.pop(node_id, None)
        node_state.last_seen = now.unix
        if difference.models:
            self._index(node_id, before, node_state)
            self._touch(node_id, difference.models)
        if difference.capacity:
            self._members.pop(node_id, None)
            self._reweighed |= node_state.offers.keys()
        if address != node_state.direct:
            self._release(node_id, address)
        if node_id not in self._leases or address != node_state.direct:
            node_state.returns += node_id in self._departures
            self._claim(node_id, node_state.direct)
            self._touch(node_id, node_state.offers)
        self._grant(node_id, now)
        return difference.kept

    def refuse(self, node_id: str, reason: str) -> None:
        """Shows why the node's last report was refused, until one is accepted."""
        self._refused[node_id] = reason[:_MAX_REASON]

    def desired(self, state: DesiredState) -> list[str]:
        """Takes another desired state. Returns the known nodes that are not part of it, which may be forgotten."""
        nodes = state.nodes
        self.revision = state.revision
        if nodes is not self._nodes:
            for node_id, node_state in self._states.items():
                before, after = self._nodes.get(node_id), nodes.get(node_id)
                if before != after:
                    self._touch(node_id, node_state.offers)
                if after is not None and after.drained and (before is None or not before.drained):
                    node_state.reports_in_drain = 0
            self._nodes = nodes
            whom = pools.audiences(nodes.values())
            if whom != self._audiences:
                self._audiences = whom
                self._changed |= self._offering.keys()
        self._backed = backed_models(state)
        targets = (target for route in state.routes.values() for target in route.targets)
        routed = frozenset(target.model for target in targets if isinstance(target, NodesTarget))
        self._changed |= routed ^ self._routed
        self._routed = routed
        return [node_id for node_id in self._states if node_id not in nodes]

    def forget(self, node_id: str, now: Moment) -> None:
        """Forgets a node that was removed."""
        node_state = self._states.pop(node_id, None)
        self._refused.pop(node_id, None)
        self._measurements.forget(node_id)
        self._leases.drop(node_id)
        self._departures.drop(node_id)
        self.uptime.end(node_id, now)
        if node_state is not None:
            self._touch(node_id, node_state.offers)
            self._release(node_id, node_state.direct)
            self._index(node_id, node_state.offers, None)

    def expire(self, now: Moment) -> ExpiredLeases:
        """Ends the leases that are over."""
        asked, self._asked_at = self._asked_at, now.monotonic
        if asked is not None and now.monotonic - asked > self.times.stall:
            self._leases.extend_all(now.monotonic + self.times.lease)
        lapsed = self._leases.expired(now.monotonic)
        for node_id in lapsed:
            self.uptime.end(node_id, now)
            self._departures.grant(node_id, now.monotonic + self.times.departure)
            self._touch(node_id, self._states[node_id].offers)
        departed = self._departures.expired(now.monotonic)
        for node_id in departed:
            node_state = self._states[node_id]
            self._release(node_id, node_state.direct)
            self._touch(node_id, node_state.offers)
        return ExpiredLeases(lapsed, departed)

    def take_changes(self, now: Moment) -> dict[str, Pool]:
        """Returns the pools that differ since the last time, by name; a pool that ended is there without
        endpoints.
        """
        due = self._changed
        if self._reweighed:
            due = due | {
                model
                for model in self._reweighed
                if now.monotonic - self._weighed_at.get(model, float("-inf")) >= WEIGHTS_INTERVAL
            }
        if not due:
            return {}
        self._changed = set()
        self._reweighed -= due
        result: dict[str, Pool] = {}
        for model in due:
            before = self._pools.pop(model, {})
            after = self._pools_of(model, before)
            if after:
                self._pools[model] = after
                self._weighed_at[model] = now.monotonic
            else:
                self._weighed_at.pop(model, None)
            result.update({name: pool for name, pool in after.items() if before.get(name) is not pool})
            ended = (pool for name, pool in before.items() if name not in after)
            result.update({pool.name: Pool(model, (), pool.audience) for pool in ended})
        return result

    def _pools_of(self, model: str, before: Mapping[str, Pool]) -> dict[str, Pool]:
        if model not in self._routed:
            return {}
        members = [
            member
            for node_id in sorted(self._offering.get(model, ()))
            if (member := self._kept_member(node_id, model)) is not None
        ]
        return pools.pools(model, members, self._audiences, before) if members else {}

    def _pools_with(self, node_id: str, node_state: NodeState) -> list[Pool]:
        return [
            pool
            for model in node_state.offers
            for pool in self._pools.get(model, {}).values()
            if any(endpoint.node_id == node_id for endpoint in pool.endpoints)
        ]

    def _kept_member(self, node_id: str, model: str) -> pools.Member | None:
        """Caches `_member` until `_touch`: a change in a pool of ten thousand members computes only one of them
        again.
        """
        kept = self._members.setdefault(node_id, {})
        if model not in kept:
            kept[model] = self._member(node_id, model)
        return kept[model]

    def _member(self, node_id: str, model: str) -> pools.Member | None:
        """Returns the node's entry in the pool; None if it should be in no pool."""
        node, node_state = self._nodes.get(node_id), self._states[node_id]
        if node is None or not node.approved or node_state.availability == pb.AVAILABILITY_CLOSED:
            return None
        if node_id not in self._leases and node_id not in self._departures:
            return None
        if node_state.direct is not None and self._addresses.get(node_state.direct) != node_id:
            return None
        if self._refused_address(node_state):
            return None
        owner_only = node_state.availability == pb.AVAILABILITY_OWNER_ONLY
        offer = node_state.offers[model]
        endpoint = PoolEndpoint(
            node_id,
            node_state.direct,
            self._health(node, node_state, offer),
            weights.weight(node_state.capacity or float(weights.NOMINAL_LIMIT), node.boost),
            input_price=offer.input_price,
            output_price=offer.output_price,
            returns=node_state.returns,
            slots=node_state.slots(model),
        )
        return pools.Member(node, Visibility.PRIVATE if owner_only else node.visibility, endpoint)

    def _health(self, node: Node, node_state: NodeState, offer: pb.Offer) -> Health:
        if node.id not in self._leases or not offer.healthy:
            return "unhealthy"
        return "draining" if node.drained or node_state.draining else "healthy"

    def _touch(self, node_id: str, models: Iterable[str]) -> None:
        """Records that the node's entries in the pools of `models` may have changed."""
        self._members.pop(node_id, None)
        self._changed.update(models)

    def _grant(self, node_id: str, now: Moment) -> None:
        if node_id not in self._leases:
            self._departures.drop(node_id)
            self.uptime.begin(node_id, now)
        self._leases.grant(node_id, now.monotonic + self.times.lease)

    def _index(self, node_id: str, before: Iterable[str], node_state: NodeState | None) -> None:
        """Keeps `_offering` up to date."""
        offered: Collection[str] = node_state.offers if node_state is not None else ()
        for model in before:
            if model not in offered:
                self._offering[model].discard(node_id)
                if not self._offering[model]:
                    del self._offering[model]
        for model in offered:
            self._offering.setdefault(model, set()).add(node_id)

    def _refused_address(self, node_state: NodeState | None) -> str:
        """Returns why the node's address is refused, or empty. A restored address may predate the current rule."""
        if node_state is None or node_state.direct is None:
            return ""
        problem = self._permitted.problem(*node_state.direct)
        return f"facts.direct_address: {node_state.facts.direct_address} {problem}" if problem else ""

    def _require_usable(self, node_id: str, text: str) -> None:
        """Raises InvalidFieldError if the rule refuses the address, or another node with a lease holds it.

        Of several endpoints with one address Envoy takes the first and drops the others, of other owners too.
        """
        address = direct.parse(text)
        problem = self._permitted.problem(*address) if address is not None else ""
        if problem:
            raise InvalidFieldError([f"facts.direct_address: {text} {problem}"])
        holder = self._addresses.get(address) if address is not None else None
        if holder is not None and holder != node_id and holder in self._leases:
            raise InvalidFieldError(
                [f"facts.direct_address: {text} is the address of another node that is connected"]
            )

    def _claim(self, node_id: str, address: tuple[str, int] | None) -> None:
        """Assigns the address to the node, unless another node with a lease has it."""
        if address is None:
            return
        holder = self._addresses.get(address)
        if holder is not None and holder != node_id:
            if holder in self._leases:
                return
            self._touch(holder, self._states[holder].offers)
        self._addresses[address] = node_id

    def _release(self, node_id: str, address: tuple[str, int] | None) -> None:
        if address is not None and self._addresses.get(address) == node_id:
            del self._addresses[address]
