"""`trunkline audit`."""

from __future__ import annotations

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.client import Control, control_options
from trunkline.output import output_option, render, when

_COLUMNS = ("id", "at", "actor", "action", "object", "name", "before", "after", "revision")
_SHORT = ("id", "at", "actor", "action", "object", "name", "revision")
_TYPES = click.Choice(["provider", "route", "organisation", "key"])


@click.command(
    name="list",
    epilog="""\b
Examples:
  trunkline audit
  trunkline audit list --type route --name gpt-4.1 --output json
""",
)
@click.option("--type", "object_type", type=_TYPES, default=None, help="Only events about these.")
@click.option("--name", default="", help="Only events about the object of this name.")
@click.option("--count", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most this many.")
@click.option("--before", type=click.IntRange(min=0), default=0, help="Only events older than this id.")
@output_option
@control_options
def list_events(
    *, control: Control, object_type: str | None, name: str, count: int, before: int, output: str
) -> None:
    """Who changed what, newest first; json and csv include the object before and after."""
    request = admin.ListAuditEventsRequest(
        page_size=count, before_id=before, object_type=object_type or "", object_name=name
    )
    with control.connect() as api:
        events = api.ListAuditEvents(request).events
    rows = [
        {
            "id": each.id,
            "at": when(each.at_us / 1_000_000),
            "actor": each.actor,
            "action": each.action,
            "object": each.object_type,
            "name": each.object_name,
            "before": each.before,
            "after": each.after,
            "revision": each.revision,
        }
        for each in events
    ]
    click.echo(render(rows, _SHORT if output == "table" else _COLUMNS, output))


class _ListByDefault(click.Group):
    """`trunkline audit --type route` is `trunkline audit list --type route`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        help_wanted = bool(args) and args[0] in ctx.help_option_names
        if not args or (args[0].startswith("-") and not help_wanted):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def audit() -> None:
    """Who changed what, newest first; `trunkline audit` alone is `trunkline audit list`."""


audit.add_command(list_events)
