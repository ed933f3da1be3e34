"""`trunkline nodes`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import VISIBILITIES

from trunkline import changes, completion, names
from trunkline.client import Control, control_options
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.node_rows import COLUMNS, IMPORTANT, MEASURED, OFFER_COLUMNS, details, find, offer_row, row
from trunkline.output import is_wide, output_option, render, render_fields
from trunkline.text import as_json, say
from trunkline.verbs.nodes_contributions import contributions
from trunkline.verbs.nodes_invite import invite


@click.group(cls=SuggestingGroup)
def nodes() -> None:
    """Invite, list, drain and remove your own machines.

    A NODE is an id (nd-…), a name that is unique, or ORGANISATION/NAME.
    """


nodes.add_command(invite)
nodes.add_command(contributions)


@nodes.command(
    "list",
    epilog="""\b
Examples:
  trunkline nodes list
  trunkline nodes list --wide
  trunkline nodes list --org acme --output json
""",
)
@click.option("--org", shell_complete=completion.ORGS, default="", help="Only those of this organisation.")
@output_option
@control_options
def list_nodes(*, control: Control, org: str, output: str) -> None:
    """List all nodes with their models and state.

    The state is `pending` (awaiting approval), `online`, `owner-only`, `closed`, `draining`, `drained`, `refused`
    (the gateway does not accept its report or its direct address), `unhealthy` (no report, or no working local
    server) or `offline` (for longer). With --wide, json and csv have measurements (GPUs, idleness).
    """
    with control.connect() as api:
        found = api.ListNodes(admin.ListNodesRequest(organisation=org)).nodes
    rows = [row(each) for each in found]
    left_out = () if output == "table" or is_wide() else MEASURED
    columns = [each for each in COLUMNS if each not in left_out]
    say(render(rows, columns, output, right={"in_flight", "boost"}, important=IMPORTANT), lines=True)


@nodes.command(
    epilog="""\b
Examples:
  trunkline nodes describe rig
  trunkline nodes describe acme/rig --output json
"""
)
@click.argument("node", shell_complete=completion.NODES)
@output_option
@control_options
def describe(*, control: Control, node: str, output: str) -> None:
    """Show everything about NODE and its offers; prices are USD per million tokens.

    csv has only the offers.
    """
    with control.connect() as api:
        found = find(api.ListNodes(admin.ListNodesRequest()).nodes, node)
    facts, offers = details(found), [offer_row(each) for each in found.offers]
    if output == "json":
        say(as_json({**facts, "offers": offers}), lines=True)
        return
    if output == "table":
        say(render_fields(facts), lines=True)
        say()
    say(render(offers, OFFER_COLUMNS, output, right={"context", "input_usd", "output_usd"}), lines=True)


@nodes.command(
    epilog="""\b
Examples:
  trunkline nodes drain rig
"""
)
@click.argument("node", shell_complete=completion.NODES)
@control_options
def drain(*, control: Control, node: str) -> None:
    """Let NODE finish its running requests, and send it no new ones until `resume`."""
    _decide(control, admin.UpdateNodeRequest(node_id=node, drained=True), "drained")


@nodes.command(
    epilog="""\b
Examples:
  trunkline nodes resume rig
"""
)
@click.argument("node", shell_complete=completion.NODES)
@control_options
def resume(*, control: Control, node: str) -> None:
    """Send NODE requests again after `drain`."""
    _decide(control, admin.UpdateNodeRequest(node_id=node, drained=False), "not drained")


@nodes.command(
    epilog="""\b
Examples:
  trunkline nodes approve rig
"""
)
@click.argument("node", shell_complete=completion.NODES)
@control_options
def approve(*, control: Control, node: str) -> None:
    """Approve NODE, which was invited with --require-approval."""
    _decide(control, admin.UpdateNodeRequest(node_id=node, approved=True), "approved")


@nodes.command(
    epilog="""\b
Examples:
  trunkline nodes update rig --boost 200
  trunkline nodes update nd-abcdefgh234567ab --name rig-2 --visibility community
"""
)
@click.argument("node", shell_complete=completion.NODES)
@click.option("--name", default=None, help="New name, unique within the organisation.")
@click.option("--visibility", type=click.Choice(list(VISIBILITIES)), default=None, help="Who may use the node.")
@click.option(
    "--boost", type=click.IntRange(10, 1000), default=None, help="Weight relative to other nodes; 100 is neutral."
)
@control_options
def update(*, control: Control, node: str, name: str | None, visibility: str | None, boost: int | None) -> None:
    """Change the settings of NODE."""
    if name is None and visibility is None and boost is None:
        raise UsageError("say what to change: --name, --visibility or --boost")
    request = admin.UpdateNodeRequest(
        node_id=node,
        name=name,
        visibility=VISIBILITIES[visibility] if visibility is not None else None,
        boost_percent=boost,
    )
    _decide(control, request, "updated")


@nodes.command(
    epilog="""\b
Examples:
  trunkline nodes remove rig
"""
)
@click.argument("node", shell_complete=completion.NODES)
@control_options
def remove(*, control: Control, node: str) -> None:
    """Remove NODE for good: its certificate becomes invalid. With a new token it may join again."""
    with control.connect() as api, names.suggesting(api, "node", node):
        answer = api.RemoveNode(admin.RemoveNodeRequest(node_id=node))
    say(f"- node {node}")
    changes.report(answer.propagation)


def _decide(control: Control, request: admin.UpdateNodeRequest, done: str) -> None:
    with control.connect() as api, names.suggesting(api, "node", request.node_id):
        answer = api.UpdateNode(request)
    say(f"~ node {answer.node.organisation}/{answer.node.name} ({answer.node.id}): {done}")
    changes.report(answer.propagation)
