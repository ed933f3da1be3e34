"""`trunkline orgs`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes, completion, names
from trunkline.client import Control, change_options, control_options
from trunkline.config import document, limit_text, model
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.parameters import LimitFlag
from trunkline.text import say


@click.group(cls=SuggestingGroup)
def orgs() -> None:
    """Organisations, which own keys and limits."""


@orgs.command(
    "list",
    epilog="""\b
Examples:
  trunkline orgs list
  trunkline orgs list --output csv
""",
)
@output_option
@control_options
def list_orgs(*, control: Control, output: str) -> None:
    """Every organisation with its limits."""
    with control.connect() as api:
        found = api.ListOrganisations(admin.ListOrganisationsRequest()).organisations
    rows = [
        {"name": each.name, "limits": list(map(limit_text.text, each.limits)), "managed_by": each.managed_by}
        for each in found
    ]
    say(render(rows, ("name", "limits", "managed_by"), output), lines=True)


@orgs.command(
    epilog="""\b
Examples:
  trunkline orgs add acme
  trunkline orgs add acme --limit requests/60s=600 --limit concurrency=20
  trunkline orgs add acme --limit cost_usd/month/Europe/Berlin=500 --limit tokens/60s@gpt-4.1=100000
"""
)
@click.argument("name")
@click.option("--limit", "given", type=LimitFlag(), multiple=True, help="An upper bound; may be repeated.")
@control_options
def add(*, control: Control, name: str, given: tuple[model.Limit, ...]) -> None:
    """Add the organisation NAME."""
    organisation = admin.Organisation(name=name, limits=map(document.limit, given))
    with control.connect() as api:
        answer = api.PutOrganisation(admin.PutOrganisationRequest(organisation=organisation))
    say(f"+ organisation {name}")
    changes.report(answer.propagation, answer.warnings)


@orgs.command(
    epilog="""\b
Examples:
  trunkline orgs remove acme
"""
)
@click.argument("name", shell_complete=completion.ORGS)
@change_options
def remove(*, control: Control, name: str) -> None:
    """Remove the organisation NAME with its nodes, keys and its own routes."""
    with control.connect() as api, names.suggesting(api, "organisation", name):
        answer = api.DeleteOrganisation(admin.DeleteOrganisationRequest(name=name))
    say(f"- organisation {name}")
    changes.report(answer.propagation)
