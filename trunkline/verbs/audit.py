"""`trunkline audit`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin, admin_pb2_grpc

from trunkline import completion, names
from trunkline.client import Control, control_options
from trunkline.errors import UsageError
from trunkline.groups import SuggestingGroup
from trunkline.output import output_option, render, when
from trunkline.text import as_json, say
from trunkline.timestamps import Timestamp

_COLUMNS = ("id", "at", "actor", "action", "object", "name", "organisation", "before", "after", "revision")
_SHORT = ("id", "at", "actor", "action", "object", "name", "revision")
#: The columns that a narrow terminal keeps longest.
_IMPORTANT = ("at", "action", "name", "object", "actor")
_NODE = "node:"
_TYPES = click.Choice(
    [
        "provider",
        "route",
        "organisation",
        "key",
        "node",
        "gateway",
        "join-token",
        "user",
        "member",
        "invitation",
        "token",
        "request",
    ]
)
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """A filter of events; an empty field matches all. `since` is Unix seconds."""

    actor: str
    object_type: str
    object_name: str
    since: int
    organisation: str


def filter_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the flags that filter events, and passes `event_filter` to the command."""

    @click.option("--by", "actor", default="", help="Only events of this actor.")
    @click.option(
        "--type", "object_type", type=_TYPES, default=None, help="Only events about objects of this type."
    )
    @click.option("--name", default="", help="Only events about the object of this name.")
    @click.option("--since", type=Timestamp(), default=None, help="How long ago (7d), or a date (UTC).")
    @click.option("--org", default="", shell_complete=completion.ORGS, help="Only events of this organisation.")
    def with_filter(
        *, actor: str, object_type: str | None, name: str, since: int | None, org: str, **given: Any
    ) -> Any:
        return verb(event_filter=AuditFilter(actor, object_type or "", name, since or 0, org), **given)

    with_filter.__doc__ = verb.__doc__
    with_filter.__name__ = verb.__name__
    with_filter.__click_params__ = [  # type: ignore[attr-defined]  # click keeps declared options here
        *getattr(verb, "__click_params__", ()),
        *getattr(with_filter, "__click_params__", ()),
    ]
    return with_filter


@click.command(
    name="list",
    epilog="""\b
Examples:
  trunkline audit
  trunkline audit list --type route --name gpt-4.1 --output json
  trunkline audit list --by alice --since 7d
  trunkline audit list --org acme
""",
)
@click.option(
    "--count", type=click.IntRange(1, 1000), default=100, show_default=True, help="Maximum number of events."
)
@click.option("--before", type=click.IntRange(min=0), default=0, help="Only events older than this id.")
@filter_options
@output_option
@control_options
def list_events(*, control: Control, event_filter: AuditFilter, count: int, before: int, output: str) -> None:
    """List who changed what, newest first; json and csv include the object before and after."""
    with control.connect() as api:
        rows = [_row(each) for each in islice(_events(api, event_filter, before, count), count)]
        if output == "table":
            _name_nodes(api, rows)
    columns = _SHORT if output == "table" else _COLUMNS
    say(render(rows, columns, output, right={"id", "revision"}, important=_IMPORTANT), lines=True)


@click.command(
    epilog="""\b
Examples:
  trunkline audit export > audit.json
  trunkline audit export --format csv --since 2026-11-01 --file november.csv
"""
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv"]),
    default="json",
    show_default=True,
    help="Output format.",
)
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), default=None, help="[default: stdout]")
@filter_options
@control_options
def export(*, control: Control, event_filter: AuditFilter, form: str, file: Path | None) -> None:
    """Export every event with the object before and after, newest first."""
    with control.connect() as api:
        text = render([_row(each) for each in _events(api, event_filter, 0, _PAGE)], _COLUMNS, form)
    if file is None:
        say(text, lines=True)
        return
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--file {file}: {error.strerror or error}") from error


@click.command(
    epilog="""\b
Examples:
  trunkline audit verify
  trunkline audit verify --json
"""
)
@click.option("--json", "in_json", is_flag=True, help="As a JSON object.")
@control_options
def verify(*, control: Control, in_json: bool) -> None:
    """Verify the audit log's hash chain; exit code 1 if an event was changed, added or removed.

    Each event's hash depends on its content and the previous hash. Removing events at the end leaves an intact
    chain: store the printed head elsewhere, and compare it.
    """
    with control.connect() as api:
        found = api.VerifyAudit(admin.VerifyAuditRequest())
    if in_json:
        shown = {"intact": found.intact, "events": found.events, "head": found.head}
        say(as_json({**shown, "first_broken": found.first_broken_id or None}), lines=True)
        sys.exit(0 if found.intact else 1)
    if not found.intact:
        say(f"BROKEN at event {found.first_broken_id}: it, or the one before it, is not what was written")
    else:
        say("intact")
    say(f"events: {found.events}")
    say(f"head: {found.head or '(none)'}")
    if not found.intact:
        sys.exit(1)


def _events(
    api: admin_pb2_grpc.AdminStub, event_filter: AuditFilter, before: int, page: int
) -> Iterator[admin.AuditEvent]:
    """Yields events, newest first, page by page."""
    while True:
        request = admin.ListAuditEventsRequest(
            page_size=page,
            before_id=before,
            object_type=event_filter.object_type,
            object_name=event_filter.object_name,
            organisation=event_filter.organisation,
        )
        events = api.ListAuditEvents(request).events
        for each in events:
            if each.at_us < event_filter.since * 1_000_000:
                return
            if not event_filter.actor or each.actor == event_filter.actor:
                yield each
        if len(events) < page:
            return
        before = events[-1].id


def _name_nodes(api: admin_pb2_grpc.AdminStub, rows: list[dict[str, Any]]) -> None:
    """Replaces the ids of actors that are nodes by their names, if the nodes still exist."""
    ids = {row["actor"].removeprefix(_NODE) for row in rows if row["actor"].startswith(_NODE)}
    for id_, label in names.node_labels(api, ids).items():
        for row in rows:
            if row["actor"] == f"{_NODE}{id_}":
                row["actor"] = f"{_NODE}{label}"


def _row(event: admin.AuditEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": when(event.at_us / 1_000_000),
        "actor": event.actor,
        "action": event.action,
        "object": event.object_type,
        "name": event.object_name,
        "organisation": event.organisation,
        "before": event.before,
        "after": event.after,
        "revision": event.revision,
    }


class _ListByDefault(SuggestingGroup):
    """`trunkline audit --type route` is `trunkline audit list --type route`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        help_wanted = bool(args) and args[0] in ctx.help_option_names
        if not args or (args[0].startswith("-") and not help_wanted):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def audit() -> None:
    """Show who changed what; `trunkline audit` alone is `trunkline audit list`."""


audit.add_command(list_events)
audit.add_command(export)
audit.add_command(verify)
