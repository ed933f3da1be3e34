"""`trunkline nodes contributions`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import completion
from trunkline.client import Control, control_options
from trunkline.node_rows import SUMS, contribution_row
from trunkline.output import output_option, render
from trunkline.parameters import Names
from trunkline.text import say
from trunkline.timestamps import Timestamp

_DIMENSIONS = ("node", "owner", "model", "day")


@click.command(
    epilog="""\b
Examples:
  trunkline nodes contributions
  trunkline nodes contributions --by owner,day --since 2026-11-01 --until 2026-12-01 --output csv
  trunkline nodes contributions --by node,model --org acme --since 7d
"""
)
@click.option(
    "--by", type=Names(_DIMENSIONS), default="node", show_default=True, help=f"Any of {', '.join(_DIMENSIONS)}."
)
@click.option(
    "--since", type=Timestamp(), default="30d", show_default=True, help="How long ago (7d), or a date (UTC)."
)
@click.option("--until", type=Timestamp(), default=None, help="The end, in the same form.  [default: now]")
@click.option(
    "--org",
    shell_complete=completion.ORGS,
    default="",
    help="Only nodes of this organisation, by name; a deleted one's by id.",
)
@output_option
@control_options
def contributions(
    *, control: Control, by: tuple[str, ...], since: int, until: int | None, org: str, output: str
) -> None:
    """Report what nodes served and earned, at their owners' prices, and how long they were online.

    By day if --by has it, otherwise the highest earnings first. Whole hours: --since and --until are rounded
    outward. Uptime is per node or owner, not per model; json and csv have it in seconds.
    """
    request = admin.ReportContributionsRequest(by=by, since=since, until=until or 0, organisation=org)
    with control.connect() as api:
        found = api.ReportContributions(request).rows
    rows = [contribution_row(each, by, readable=output == "table") for each in found]
    columns = (*by, *SUMS, *(("node_id",) if "node" in by else ()))
    say(render(rows, columns, output, right=SUMS), lines=True)
