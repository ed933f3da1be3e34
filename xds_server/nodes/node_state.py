"""The state of one node, merged from its reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.errors import InvalidFieldError
from xds_server.nodes import direct, weights
from xds_server.nodes.report import MAX_OFFERS, UNKNOWN_KV_CACHE


@dataclass(frozen=True, slots=True)
class ReportDifference:
    """The changes that a report made. `models`: those whose endpoint changed; `capacity`: whether the shown
    capacity changed.

    `kept`: whether something that is stored differs, which the load never is.
    """

    models: frozenset[str] = frozenset()
    capacity: bool = False
    kept: bool = False


_NONE = ReportDifference()
_CAPACITY = ReportDifference(capacity=True)


@dataclass(slots=True)
class NodeState:
    """The state of one node. `last_seen` is in Unix seconds, 0 if it has not reported since the control plane
    started.

    `returns`: how often it has reported again after its lease had ended.
    """

    facts: pb.NodeFacts = field(default_factory=pb.NodeFacts)
    offers: Mapping[str, pb.Offer] = field(default_factory=dict)
    load: pb.Load = field(default_factory=lambda: pb.Load(kv_cache_permille=UNKNOWN_KV_CACHE))
    draining: bool = False
    availability: int = pb.AVAILABILITY_OPEN
    availability_reason: str = ""
    last_seen: float = 0.0
    returns: int = 0
    capacity: float | None = None
    direct: tuple[str, int] | None = None
    measurement_wanted: bool = False
    #: Reports since an operator began to drain the node. The first may have been sent before that.
    reports_in_drain: int = 0

    @classmethod
    def restored(cls, saved: bytes, last_seen: float) -> NodeState:
        """Restores the state from what `saved` returned. Raises google.protobuf.message.DecodeError."""
        report = pb.NodeReport.FromString(saved)
        state = cls()
        state.apply(report)
        state.last_seen = last_seen
        return state

    def saved(self) -> bytes:
        """Returns the whole state as one report."""
        return pb.NodeReport(
            facts=self.facts,
            offers=self.offers.values(),
            offers_complete=True,
            load=self.load,
            draining=self.draining,
            availability=pb.Availability.Name(self.availability),  # type: ignore[arg-type]
            availability_reason=self.availability_reason,
        ).SerializeToString()

    def apply(self, report: pb.NodeReport) -> ReportDifference:
        """Merges a report that was checked. Raises InvalidFieldError, and then leaves the state unchanged."""
        offers = self._offers(report)
        moved = False
        self.measurement_wanted = report.measurement_wanted
        self.reports_in_drain += 1
        if report.HasField("load"):
            before, limit = self.capacity, self.load.concurrency_limit
            self.load = report.load
            self.capacity = weights.shown(before, weights.capacity(report.load))
            moved = (before, limit) != (self.capacity, report.load.concurrency_limit)
        changed = frozenset(self._changed_offers(offers)) if offers is not None else frozenset()
        kept, everywhere = bool(changed), False
        if offers is not None:
            self.offers = offers
        if report.HasField("facts") and report.facts != self.facts:
            self.facts = report.facts
            before_direct, self.direct = self.direct, direct.parse(report.facts.direct_address)
            kept, everywhere = True, before_direct != self.direct
        if report.draining != self.draining:
            self.draining = report.draining
            kept = everywhere = True
        if report.availability != pb.AVAILABILITY_UNSPECIFIED:
            if report.availability != self.availability:
                self.availability = report.availability
                kept = everywhere = True
            if report.availability_reason != self.availability_reason:
                self.availability_reason = report.availability_reason
                kept = True
        if everywhere:
            changed |= self.offers.keys()
        if not (kept or changed):
            return _CAPACITY if moved else _NONE
        return ReportDifference(changed, moved, kept)

    def slots(self, model: str) -> int:
        """Returns how many requests the node runs at once for a model that it offers; 0: no limit."""
        limits = (self.load.concurrency_limit, self.offers[model].concurrency_limit)
        return min(filter(None, limits), default=0)

    def _offers(self, report: pb.NodeReport) -> dict[str, pb.Offer] | None:
        """Returns all current offers, or None if the report has none of them."""
        if not report.offers and not report.offers_complete:
            return None
        offers = {} if report.offers_complete else dict(self.offers)
        reported: dict[str, pb.Offer] = {}
        for offer in report.offers:
            # Two local servers may have one model: the one that answers counts.
            known = reported.get(offer.model)
            if known is None or (offer.healthy and not known.healthy):
                reported[offer.model] = offer
        offers.update(reported)
        if len(offers) > MAX_OFFERS:
            raise InvalidFieldError(
                [f"offers: {len(offers):,} with the earlier ones; accepted: at most {MAX_OFFERS}"]
            )
        return offers

    def _changed_offers(self, offers: Mapping[str, pb.Offer]) -> set[str]:
        changed = {model for model, offer in offers.items() if self.offers.get(model) != offer}
        return changed | (self.offers.keys() - offers.keys())
