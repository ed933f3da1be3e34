"""Describes a node's state in the words of trunkline.admin.v1.Node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.model import Node
from xds_server.nodes.node_state import NodeState
from xds_server.reasons import Reason


@dataclass(frozen=True, slots=True)
class LiveNode:
    """A node as `status` shows it. `state` is as in admin.v1.Node; `last_seen` is in Unix seconds, 0 if it has not
    reported since the control plane started.
    """

    state: str
    state_reason: Reason
    last_seen: int
    facts: pb.NodeFacts
    offers: Sequence[pb.Offer]
    load: pb.Load


def live_node(
    node: Node | None, node_state: NodeState, *, leased: bool, departed: bool, refused: str = ""
) -> LiveNode:
    """Returns a node's status. `leased`: it reports. `departed`: it has not reported for so long that it is in no
    pool. `refused`: the reason, if its last report was refused.
    """
    if refused:
        state, reason = "refused", Reason.quoted(refused)
    else:
        state, reason = _state(node, node_state, leased=leased, departed=departed)
    return LiveNode(
        state,
        reason,
        int(node_state.last_seen),
        node_state.facts,
        tuple(node_state.offers.values()),
        node_state.load,
    )


def _state(node: Node | None, node_state: NodeState, *, leased: bool, departed: bool) -> tuple[str, Reason]:  # noqa: PLR0911
    if node is not None and not node.approved:
        return "pending", Reason.of("node.approval")
    if node is not None and node.drained:
        return _drain(node_state, "", leased=leased, heard=node_state.reports_in_drain > 1)
    if node_state.draining:
        return _drain(node_state, "_owner", leased=leased, heard=True)
    if departed:
        return "offline", Reason.of("node.departed")
    if not leased:
        return "unhealthy", Reason.of("node.lapsed")
    if node_state.availability == pb.AVAILABILITY_CLOSED:
        return "closed", Reason.quoted(node_state.availability_reason)
    if not any(offer.healthy for offer in node_state.offers.values()):
        return "unhealthy", Reason.of("node.unhealthy" if node_state.offers else "node.nothing")
    if node_state.availability == pb.AVAILABILITY_OWNER_ONLY:
        return "owner-only", Reason.quoted(node_state.availability_reason)
    return "online", Reason.quoted(node_state.availability_reason)


def _drain(node_state: NodeState, who: str, *, leased: bool, heard: bool) -> tuple[str, Reason]:
    """Returns the state of a draining node. `who` ends the reason's code. `heard`: the load was reported since
    then. A sidecar that its owner drains ends once nothing runs.
    """
    if leased and (node_state.load.in_flight or not heard):
        return "draining", Reason.of(f"node.draining{who}", node_state.load.in_flight)
    return "drained", Reason.of(f"node.drained{who}")
