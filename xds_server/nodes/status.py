"""What a node is doing, in the words of trunkline.admin.v1.Node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.model import Node
from xds_server.nodes.known import Known


@dataclass(frozen=True, slots=True)
class LiveNode:
    """`state` as in admin.v1.Node; `last_seen` in Unix seconds, 0 if not since the control plane started."""

    state: str
    state_reason: str
    last_seen: int
    facts: pb.NodeFacts
    offers: Sequence[pb.Offer]
    load: pb.Load


def live_node(node: Node | None, known: Known, *, leased: bool, departed: bool, refused: str = "") -> LiveNode:
    """`leased`: it reports; `departed`: it has not for so long that it is in no pool; `refused`: why not."""
    state, reason = ("refused", refused) if refused else _state(node, known, leased=leased, departed=departed)
    return LiveNode(state, reason, int(known.last_seen), known.facts, tuple(known.offers.values()), known.load)


def _state(node: Node | None, known: Known, *, leased: bool, departed: bool) -> tuple[str, str]:  # noqa: PLR0911
    if node is not None and not node.approved:
        return "pending", "waits for an operator's approval"
    drained_by = "an operator" if node is not None and node.drained else "its owner" if known.draining else ""
    if drained_by:
        # A drained sidecar ends, and reports no more.
        running = known.load.in_flight if leased else 0
        return ("draining", f"by {drained_by}: {running} running") if running else ("drained", f"by {drained_by}")
    if departed:
        return "offline", "no report for a long time"
    if not leased:
        return "unhealthy", "its lease ended: no report"
    if known.availability == pb.AVAILABILITY_CLOSED:
        return "closed", known.availability_reason
    if not any(offer.healthy for offer in known.offers.values()):
        return "unhealthy", "no local server answers its health check" if known.offers else "it offers no model"
    if known.availability == pb.AVAILABILITY_OWNER_ONLY:
        return "owner-only", known.availability_reason
    return "online", known.availability_reason
