"""Prints the difference that a change made, and its propagation to every Envoy and translator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline import conflicts, difference
from trunkline.text import say, visible

_SIGNS = {
    admin.Change.KIND_CREATE: "+",
    admin.Change.KIND_UPDATE: "~",
    admin.Change.KIND_DELETE: "-",
}
#: Exit code: not everything is as requested.
IN_PART = 2


def summary(changes: Iterable[admin.Change], left: Iterable[admin.Conflict] = ()) -> str:
    """Prints one line per object, per field of an update, and per object that was left as it is."""
    changed = list(_lines(changes)) or ["no changes"]
    return "\n".join([*changed, *map(visible, conflicts.lines(left))])


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Prints an object's changed fields below the object's line."""
    return (visible(f"    {line}") for line in lines)


def _lines(changes: Iterable[admin.Change]) -> Iterator[str]:
    for change in changes:
        yield visible(f"{_SIGNS.get(change.kind, '?')} {change.object_type} {change.object_name}")
        if change.kind == admin.Change.KIND_UPDATE:
            yield from indented(difference.updated(change.object_type, change.fields))


def say_between(before: difference.Written, after: difference.Written) -> None:
    """Prints the difference between two states of an object in the notation of the file."""
    for line in indented(difference.between(before, after)):
        say(line)


def propagation(found: admin.Propagation) -> str:
    """Describes which clients run the change, which have not answered, and which rejected what and why."""
    lines = [f"revision {found.revision}: in use by {_clients(found.accepted)}"]
    if found.waiting_for:
        lines.append(visible(f"not answered yet: {', '.join(found.waiting_for)} (`trunkline status` shows when)"))
    lines += [rejection(each) for each in found.rejections]
    return "\n".join(lines)


def rejection(found: admin.Rejection) -> str:
    """Formats a rejection on one line, with any characters in the client's reason."""
    kind = found.type_url.rpartition(".")[2]
    return visible(f"REFUSED by {found.client_id}: {kind} {', '.join(found.resource_names)}: {found.reason}")


def warn(warnings: Iterable[str]) -> None:
    """Prints each warning to stderr on a line of its own."""
    for warning in warnings:
        say(f"warning: {warning}", err=True)


def report(found: admin.Propagation, warnings: Iterable[str] = ()) -> None:
    """Prints the propagation to stderr, and ends the command with IN_PART if a client rejected the change."""
    warn(warnings)
    say(propagation(found), lines=True, err=True)
    if found.rejections:
        raise click.exceptions.Exit(IN_PART)


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def copied(stored: admin.Gateway) -> admin.Gateway:
    """Returns a copy that can be changed and compared with what is stored."""
    wanted = admin.Gateway()
    wanted.CopyFrom(stored)
    return wanted
