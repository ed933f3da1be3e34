"""`trunkline routes`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.admin.words import PRIVACIES, STRATEGIES

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.config.export import route_text, route_values
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render
from trunkline.text import as_json, say
from trunkline.verbs.routes_change import pause, remove, resume, set_route
from trunkline.verbs.routes_explain import explain
from trunkline.verbs.routes_simulate import simulate

_COLUMNS = ("model", "organisation", "strategy", "targets", "privacy", "managed_by")


@click.group(cls=SuggestingGroup)
def routes() -> None:
    """Manage routes: the models that clients request, and the targets that serve them."""


@routes.command(
    "list",
    epilog="""\b
Examples:
  trunkline routes list
  trunkline routes list --output json
""",
)
@output_option
@control_options
def list_routes(*, control: Control, output: str) -> None:
    """List all routes, with their targets as TARGET*WEIGHT, tier by tier."""
    with control.connect() as api:
        found = api.ListRoutes(admin.ListRoutesRequest()).routes
    rows = [
        {
            "model": each.model,
            "organisation": each.organisation,
            "strategy": STRATEGIES.word(each.strategy, "weighted"),
            "targets": [_target(target) for target in each.targets],
            "privacy": PRIVACIES.word(each.privacy, "any"),
            "managed_by": each.managed_by,
        }
        for each in found
    ]
    say(render(rows, _COLUMNS, output, important=("model", "targets")), lines=True)


@routes.command(
    epilog="""\b
Examples:
  trunkline routes show gpt-4.1
  trunkline routes show gpt-4.1 --org acme
  trunkline routes show gpt-4.1 --json
"""
)
@click.argument("model_name", metavar="MODEL", shell_complete=completion.ROUTES)
@click.option("--org", shell_complete=completion.ORGS, default="", help="The organisation's own route.")
@click.option("--json", "in_json", is_flag=True, help="The same fields as JSON.")
@control_options
def show(*, control: Control, model_name: str, org: str, in_json: bool) -> None:
    """Show one route in the notation of trunkline.yaml."""
    with control.connect() as api:
        stored = api.ListRoutes(admin.ListRoutesRequest()).routes
    found = names.find_route(stored, model_name, org)
    if found is None:
        known = [names.route_label(each.model, each.organisation) for each in stored]
        raise names.unknown("route", names.route_label(model_name, org), known)
    if in_json:
        say(as_json(route_values(found)), lines=True)
        return
    say(route_text(found), lines=True, nl=False)


def _target(target: admin.RouteTarget) -> str:
    """Names a target as in the response header x-trunkline-target, with its share and tier."""
    place = names.target_label(target)
    share = f"*{target.weight}" if target.HasField("weight") else ""
    notes = [f"tier {target.tier}"] * (target.tier > 0) + ["paused"] * target.paused
    return f"{place}{share}" + (f" ({', '.join(notes)})" if notes else "")


for command in (set_route, pause, resume, remove, explain, simulate):
    routes.add_command(command)
