"""The node's state at a moment, and the report of its changes. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.preferences.availability import Availability, Serves

#: `Load.kv_cache_permille` if it is unknown.
UNKNOWN_CACHE = 1001
_AVAILABILITY = {
    Serves.OPEN: wire.AVAILABILITY_OPEN,
    Serves.OWNER_ONLY: wire.AVAILABILITY_OWNER_ONLY,
    Serves.CLOSED: wire.AVAILABILITY_CLOSED,
}


@dataclass(frozen=True, slots=True)
class LocalNodeState:
    """The state of this machine at one moment. `measurement_wanted` asks the gateway to keep requests away for a
    while.
    """

    facts: wire.NodeFacts
    offers: tuple[wire.Offer, ...]
    availability: Availability
    draining: bool = False
    load: wire.Load = field(default_factory=wire.Load)
    measurement_wanted: bool = False


class Reports:
    """The reports of one stream."""

    def __init__(self) -> None:
        self._sequence = 0
        self._last: LocalNodeState | None = None

    def next(self, state: LocalNodeState) -> wire.NodeReport:
        """Returns the next report, which counts as sent. Without a change it is only a heartbeat."""
        before, self._last = self._last, state
        self._sequence += 1
        report = wire.NodeReport(
            sequence=self._sequence, draining=state.draining, measurement_wanted=state.measurement_wanted
        )
        if before is None or before.facts != state.facts:
            report.facts.CopyFrom(state.facts)
        if before is None or before.offers != state.offers:
            report.offers.extend(state.offers)
            report.offers_complete = True
        if before is None or before.load != state.load:
            report.load.CopyFrom(state.load)
        if before is None or before.availability != state.availability:
            report.availability = _AVAILABILITY[state.availability.serves]
            report.availability_reason = state.availability.reason
        return report
