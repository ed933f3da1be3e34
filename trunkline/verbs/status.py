"""`trunkline status`."""

from __future__ import annotations

from typing import Any

import click
import grpc
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.v1.admin_pb2_grpc import AdminStub

from trunkline import changes, limit_alerts, rest_alerts
from trunkline.client import Control, control_options
from trunkline.output import output_option, render, when
from trunkline.text import as_json, say
from trunkline.usage_rows import set_aside

_COLUMNS = ("client", "software", "connected", "since", "type", "revision", "state", "acks", "nacks", "ack_ms")

_NUMBERS = ("revision", "acks", "nacks", "ack_ms")
#: The columns that a narrow terminal keeps longest.
_IMPORTANT = ("client", "type", "state", "revision", "connected", "nacks", "since")
_NODE_COLUMNS = ("node", "state", "reason", "last_seen")


@click.command(
    epilog="""\b
Examples:
  trunkline status
  trunkline status --output json
"""
)
@output_option
@control_options
def status(*, control: Control, output: str) -> None:
    """Show what every Envoy and translator runs and has rejected, and why a node serves nobody.

    One line per client and resource type; the state is `in sync`, `pending`, `refused` or `away`. Errors of
    clients follow: rejections with the resource and the client's reason, and addresses whose xDS streams were
    refused; then alerts and the nodes. Alerts report credentials that a provider refuses, exhausted quotas,
    resting targets, and limits. csv has only the clients.
    """
    with control.connect() as api:
        found = api.GetStatus(admin.GetStatusRequest())
        nodes = _nodes(api, found)
    rows = [row for client in found.clients for row in _rows(client)]
    if output == "json":
        say(as_json(_values(found, rows, nodes)), lines=True)
        return
    say(render(rows, _COLUMNS, output, right=_NUMBERS, important=_IMPORTANT), lines=True)
    if output == "table":
        _say_state(found)
        if nodes:
            say()
            say(render(nodes, _NODE_COLUMNS, output), lines=True)


def _values(
    found: admin.GetStatusResponse, clients: list[dict[str, Any]], nodes: list[dict[str, Any]]
) -> dict[str, Any]:
    """Returns everything that `status` has, as JSON shows it."""
    refused = [
        {
            "client": each.client_id,
            "type": each.type_url,
            "resources": list(each.resource_names),
            "reason": each.reason,
            "at": when(each.at),
        }
        for each in found.recent_rejections
    ]
    peers = [
        {"peer": each.peer, "reason": each.reason, "count": each.count, "at": when(each.at)}
        for each in found.refused_peers
    ]
    return {
        "revision": found.revision,
        "problems": list(found.problems),
        "clients": clients,
        "rejections": refused,
        "refused_peers": peers,
        "alerts": [limit_alerts.row(each) for each in found.alerts],
        "refused_records": found.refused_records,
        "certificate": _certificate(found),
        "rests": [rest_alerts.row(each) for each in found.rests],
        "tasks": [
            {"description": each.description, "done": each.done, "total": each.total, "unit": each.unit}
            for each in found.tasks
        ],
        "ledger": [
            {"source": each.source, "last": when(each.last_at), "lag_ms": each.lag_ms} for each in found.ledger
        ],
        "nodes": nodes,
    }


def _say_state(found: admin.GetStatusResponse) -> None:
    """Prints what stands below the table of clients: problems, tasks, the certificate, rejections and alerts."""
    say(f"\ncontrol plane: revision {found.revision}", lines=True)
    for line in (*found.problems, *map(_task, found.tasks)):
        say(f"control plane: {line}")
    if found.HasField("certificate"):
        names = ", ".join(found.certificate.names)
        say(f"certificate: {names}, expires {when(found.certificate.expires_at)}")
        if found.certificate.problem:
            say(f"certificate: {found.certificate.problem}")
    for client in found.clients:
        if client.problem:
            where = f" at {client.peer}" if client.peer else ""
            say(f"{client.client_id}{where}: {client.problem}")
    for each in found.recent_rejections:
        say(f"{when(each.at)} {changes.rejection(each)}")
    for peer in found.refused_peers:
        times = f", {peer.count} times" if peer.count > 1 else ""
        say(f"{when(peer.at)} refused {peer.peer}{times}: {peer.reason}")
    for line in (*map(rest_alerts.line, found.rests), *map(limit_alerts.line, found.alerts)):
        say(line)
    if found.refused_records:
        say(set_aside(found.refused_records))


def _rows(client: admin.ClientStatus) -> list[dict[str, Any]]:
    shared = {
        "client": client.client_id,
        "peer": client.peer or None,
        "kind": client.kind,
        "software": client.software,
        "connected": client.connected,
        "since": when(client.since),
        "problem": client.problem or None,
    }
    if not client.types:
        return [{**dict.fromkeys(_COLUMNS), **shared}]
    return [
        {
            **shared,
            "type": each.type_url.rpartition(".")[2],
            "revision": each.accepted_revision,
            "state": _state(client, each),
            "acks": each.acks,
            "nacks": each.nacks,
            "ack_ms": each.last_ack_ms,
        }
        for each in client.types
    ]


def _task(task: admin.BackgroundTask) -> str:
    return f"{task.description} ({task.done:,} of {task.total:,} {task.unit})"


def _certificate(found: admin.GetStatusResponse) -> dict[str, Any] | None:
    if not found.HasField("certificate"):
        return None
    shown = found.certificate
    return {
        "names": list(shown.names),
        "expires_at": when(shown.expires_at),
        "problem": shown.problem or None,
    }


def _nodes(api: AdminStub, found: admin.GetStatusResponse) -> list[dict[str, Any]]:
    """Returns the nodes; None if the control plane cannot list them because of its own problem."""
    try:
        return [_node(each) for each in api.ListNodes(admin.ListNodesRequest()).nodes]
    except grpc.RpcError:
        if found.problems:
            return []
        raise


def _node(node: admin.Node) -> dict[str, Any]:
    return {
        "node": f"{node.organisation}/{node.name}",
        "state": node.state,
        "reason": node.state_reason,
        "last_seen": when(node.last_seen),
    }


def _state(client: admin.ClientStatus, of: admin.TypeStatus) -> str:
    if of.HasField("rejection"):
        return "refused"
    if not client.connected:
        return "away"
    return "pending" if of.pending else "in sync"
