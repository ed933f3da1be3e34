"""Explains what `apply` left unchanged, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trunkline_proto.admin.v1 import admin_pb2 as admin
from trunkline_proto.policy.v1 import policy_pb2 as policy

from trunkline import difference
from trunkline.config import limit_text


def unmet(found: Iterable[admin.Conflict]) -> bool:
    """Returns whether the state differs from the file. Objects that the file no longer names do not count."""
    return any(each.reason != admin.Conflict.REASON_NOT_PRUNED for each in found)


def lines(found: Iterable[admin.Conflict]) -> Iterator[str]:
    """Formats each conflict as one line that begins with `!`, followed by the differences, indented."""
    for each in found:
        what = f"{each.object_type} {each.object_name}"
        if each.HasField("limit"):
            what += f", limit {limit_text.name(each.limit)}"
        yield f"! {what}: {_why(each)}"
        yield from (f"    {line}" for line in _differences(each))


def manager(managed_by: str) -> str:
    """Names a manager: `the API`, `the file trunkline`."""
    if managed_by.startswith("file:"):
        return f"the file {managed_by.removeprefix('file:')}"
    return "the API" if managed_by else "no file yet"


def _differences(found: admin.Conflict) -> Iterator[str]:
    """Formats the change from the stored to the file's value."""
    if not found.HasField("limit"):
        yield from difference.updated(found.object_type, found.fields)
        return
    for each in found.fields:
        before, after = policy.Limit(), policy.Limit()
        before.CopyFrom(found.limit)
        after.CopyFrom(found.limit)
        before.amount, after.amount = int(each.before), int(each.after)
        yield f"{limit_text.text(before)} -> {limit_text.text(after)}"


def _why(found: admin.Conflict) -> str:
    match found.reason:
        case admin.Conflict.REASON_MANAGED_ELSEWHERE:
            return (
                f"left as it is; it is managed by {manager(found.managed_by)} "
                "(--take-over makes it what this file says)"
            )
        case admin.Conflict.REASON_REMOVED:
            verb = "revoked" if found.object_type == "key" and not found.HasField("limit") else "removed"
            return f"stays {verb}; that was done by a command (--take-over makes it again)"
        case admin.Conflict.REASON_NOT_PRUNED:
            keeps = "keeps working" if found.object_type == "key" else "stays"
            return f"no longer in this file, and {keeps} (--prune removes it)"
        case admin.Conflict.REASON_IN_USE:
            return f"not removed: {found.detail}"
        case admin.Conflict.REASON_REFERS_TO_REMOVED:
            return f"left out: it refers to what a command removed: {found.detail} (--take-over makes it again)"
        case _:
            return "left as it is"
