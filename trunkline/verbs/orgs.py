"""`trunkline orgs`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import changes, completion, names
from trunkline.client import Control, change_options, control_options
from trunkline.config import document, limit_text, model, objects
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.parameters import LimitFlag
from trunkline.text import say

_weight_option = click.option(
    "--weight",
    type=click.IntRange(min=0, max=100),
    default=None,
    help="Its share of places relative to other organisations while requests wait; 0: 1.",
)


@click.group(cls=SuggestingGroup)
def orgs() -> None:
    """Manage organisations, which own keys and limits."""


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
    """List all organisations with their limits."""
    with control.connect() as api:
        found = api.ListOrganisations(admin.ListOrganisationsRequest()).organisations
    rows = [
        {
            "name": each.name,
            "limits": list(map(limit_text.text, each.limits)),
            "weight": each.weight or 1,
            "managed_by": each.managed_by,
        }
        for each in found
    ]
    say(render(rows, ("name", "limits", "weight", "managed_by"), output), lines=True)


@orgs.command(
    epilog="""\b
Examples:
  trunkline orgs add acme
  trunkline orgs add acme --limit requests/60s=600 --limit concurrency=20
  trunkline orgs add acme --limit cost_usd/month/Europe/Berlin=500 --limit tokens/60s@gpt-4.1=100000
"""
)
@click.argument("name")
@click.option("--limit", "given", type=LimitFlag(), multiple=True, help="A limit; may be repeated.")
@_weight_option
@control_options
def add(*, control: Control, name: str, given: tuple[model.LimitSpec, ...], weight: int | None) -> None:
    """Add the organisation NAME."""
    organisation = admin.Organisation(name=name, limits=map(document.limit, given), weight=weight or 0)
    with control.connect() as api, names.adding("organisation", name, "orgs set"):
        answer = api.PutOrganisation(admin.PutOrganisationRequest(organisation=organisation))
    say(f"+ organisation {name}")
    changes.report(answer.propagation, answer.warnings)


@orgs.command(
    "set",
    epilog="""\b
Examples:
  trunkline orgs set acme --weight 2
""",
)
@click.argument("name", shell_complete=completion.ORGS)
@_weight_option
@change_options
def set_org(*, control: Control, name: str, weight: int | None) -> None:
    """Change the organisation NAME; values that are not given stay. For its limits, use `trunkline limits set`."""
    if weight is None:
        raise UsageError("say what to change, such as --weight 2")
    with control.connect() as api:
        stored = {
            each.name: each for each in api.ListOrganisations(admin.ListOrganisationsRequest()).organisations
        }
        if name not in stored:
            raise names.unknown("organisation", name, list(stored))
        wanted = admin.Organisation()
        wanted.CopyFrom(stored[name])
        wanted.weight = weight
        answer = api.PutOrganisation(admin.PutOrganisationRequest(organisation=wanted))
    say(f"~ organisation {name}")
    changes.say_between(objects.ORGANISATION.written(stored[name]), objects.ORGANISATION.written(wanted))
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
