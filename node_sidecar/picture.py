"""What the node has to say at a moment, and the report that says it: only what changed. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline_proto.node.v1 import registry_pb2 as wire

from node_sidecar.wishes.availability import Availability, Serves

#: `Load.kv_cache_permille` where it is not known.
UNKNOWN_CACHE = 1001
_AVAILABILITY = {
    Serves.OPEN: wire.AVAILABILITY_OPEN,
    Serves.OWNER_ONLY: wire.AVAILABILITY_OWNER_ONLY,
    Serves.CLOSED: wire.AVAILABILITY_CLOSED,
}


@dataclass(frozen=True, slots=True)
class Picture:
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
        self._said: Picture | None = None

    def next(self, picture: Picture) -> wire.NodeReport:
        """Counts as sent. Without a change it is a bare heartbeat."""
        said, self._said = self._said, picture
        self._sequence += 1
        report = wire.NodeReport(
            sequence=self._sequence, draining=picture.draining, measurement_wanted=picture.measurement_wanted
        )
        if said is None or said.facts != picture.facts:
            report.facts.CopyFrom(picture.facts)
        if said is None or said.offers != picture.offers:
            report.offers.extend(picture.offers)
            report.offers_complete = True
        if said is None or said.load != picture.load:
            report.load.CopyFrom(picture.load)
        if said is None or said.availability != picture.availability:
            report.availability = _AVAILABILITY[picture.availability.serves]
            report.availability_reason = picture.availability.reason
        return report
