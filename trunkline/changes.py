"""What a change did: the difference, and what became of it at every Envoy and translator."""

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
#: Exit code: not everything is as it was asked for.
IN_PART = 2


def summary(changes: Iterable[admin.Change], left: Iterable[admin.Conflict] = ()) -> str:
    """One line per object, for an update one per field, and one for what was left as it is."""
    changed = list(_lines(changes)) or ["no changes"]
    return "\n".join([*changed, *map(visible, conflicts.lines(left))])


def indented(lines: Iterable[str]) -> Iterator[str]:
    """What differs of an object, below the object's line."""
    return (visible(f"    {line}") for line in lines)


def _lines(changes: Iterable[admin.Change]) -> Iterator[str]:
    for change in changes:
        yield visible(f"{_SIGNS.get(change.kind, '?')} {change.object_type} {change.object_name}")
        if change.kind == admin.Change.KIND_UPDATE:
            yield from indented(difference.updated(change.object_type, change.fields))


def say_between(before: difference.Written, after: difference.Written) -> None:
    """Prints what differs between two states of an object as they stand in the file."""
    for line in indented(difference.between(before, after)):
        say(line)


def propagation(found: admin.Propagation) -> str:
    """Who runs it, who has not answered, and who refused what and why."""
    lines = [f"revision {found.revision}: in use by {_clients(found.accepted)}"]
    if found.waiting_for:
        lines.append(visible(f"not answered yet: {', '.join(found.waiting_for)} (`trunkline status` shows when)"))
    lines += [rejection(each) for each in found.rejections]
    return "\n".join(lines)


def rejection(found: admin.Rejection) -> str:
    """In one line, whatever the client's reason holds."""
    kind = found.type_url.rpartition(".")[2]
    return visible(f"REFUSED by {found.client_id}: {kind} {', '.join(found.resource_names)}: {found.reason}")


def warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        say(f"warning: {warning}", err=True)


def report(found: admin.Propagation, warnings: Iterable[str] = ()) -> None:
    """Prints to stderr, and ends the command with IN_PART if a client refused the change."""
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
