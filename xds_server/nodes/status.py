"""What a node is doing, in the words of trunkline.admin.v1.Node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.model import Node
from xds_server.nodes.node_state import NodeState


@dataclass(frozen=True, slots=True)
class LiveNode:
    """`state` as in admin.v1.Node; `last_seen` in Unix seconds, 0 if not since the control plane started."""

    state: str
    state_reason: str
    last_seen: int
    facts: pb.NodeFacts
    offers: Sequence[pb.Offer]
    load: pb.Load


def live_node(
    node: Node | None, node_state: NodeState, *, leased: bool, departed: bool, refused: str = ""
) -> LiveNode:
    """`leased`: it reports; `departed`: it has not for so long that it is in no pool; `refused`: why not."""
    state, reason = ("refused", refused) if refused else _state(node, node_state, leased=leased, departed=departed)
    return LiveNode(
        state,
        reason,
        int(node_state.last_seen),
        node_state.facts,
        tuple(node_state.offers.values()),
        node_state.load,
    )


def _state(node: Node | None, node_state: NodeState, *, leased: bool, departed: bool) -> tuple[str, str]:  # noqa: PLR0911
    if node is not None and not node.approved:
        return "pending", "waits for an operator's approval"
    if node is not None and node.drained:
        return _drain(node_state, "an operator", leased=leased, heard=node_state.reports_in_drain > 1)
    if node_state.draining:
        return _drain(node_state, "its owner", leased=leased, heard=True)
    if departed:
        return "offline", "no report for a long time"
    if not leased:
        return "unhealthy", "its lease ended: no report"
    if node_state.availability == pb.AVAILABILITY_CLOSED:
        return "closed", node_state.availability_reason
    if not any(offer.healthy for offer in node_state.offers.values()):
        return (
            "unhealthy",
            "no local server answers its health check" if node_state.offers else "it offers no model",
        )
    if node_state.availability == pb.AVAILABILITY_OWNER_ONLY:
        return "owner-only", node_state.availability_reason
    return "online", node_state.availability_reason


def _drain(node_state: NodeState, who: str, *, leased: bool, heard: bool) -> tuple[str, str]:
    """`heard`: the load was reported since. A sidecar that its owner drains ends once nothing runs."""
    if leased and (node_state.load.in_flight or not heard):
        return "draining", f"by {who}: {node_state.load.in_flight} running"
    return "drained", f"by {who}"
