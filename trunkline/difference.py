"""Describes the difference between two states of an object, in the names and units of trunkline.yaml."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from trunkline_proto.admin.v1 import admin_pb2 as admin

from trunkline.config import export, objects, stored

Written = Mapping[str, Any]

_KINDS: Mapping[str, tuple[type[Message], Callable[[Any], dict[str, Any]]]] = {
    "provider": (admin.Provider, objects.PROVIDER.written),
    "route": (admin.Route, objects.ROUTE.written),
    "organisation": (admin.Organisation, objects.ORGANISATION.written),
    "key": (admin.Key, objects.KEY.written),
    "gateway": (admin.Gateway, export.gateway),
}


def updated(object_type: str, fields: Iterable[admin.FieldChange]) -> Iterator[str]:
    """Returns one line for each difference of an object in the control plane's difference."""
    before, after = _decoded(fields, "before"), _decoded(fields, "after")
    yield from _secrets(before, after)
    for name, label in (("managed_by", "managed by"), ("credentials_managed_by", "credentials managed by")):
        if name in after or name in before:
            yield f"{label}: {before.pop(name, '') or 'nobody'} -> {after.pop(name, '') or 'nobody'}"
    before_managers, after_managers = before.pop("managers", {}), after.pop("managers", {})
    for section in dict.fromkeys([*before_managers, *after_managers]):
        old, new = (held.get(section) or "nobody" for held in (before_managers, after_managers))
        if old != new:
            yield f"{section} managed by: {old} -> {new}"
    if object_type not in _KINDS:
        yield from between(before, after)
        return
    of, written = _KINDS[object_type]
    yield from between(written(stored.message(before, of)), written(stored.message(after, of)))


def between(before: Written, after: Written, path: str = "") -> Iterator[str]:
    """Compares two objects in the file's notation. Named elements of a list, such as targets and limits, are
    compared by name.
    """
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if name in _NAMED:
            yield from _items(name.removesuffix("s"), old or [], new or [], _NAMED[name])
        elif isinstance(old, Mapping) or isinstance(new, Mapping):
            yield from between(old or {}, new or {}, f"{path}{name}.")
        else:
            yield f"{path}{name}: {_shown(old)} -> {_shown(new)}"


def _items(
    kind: str, before: Sequence[Written], after: Sequence[Written], named: Callable[[Any], str]
) -> Iterator[str]:
    old, new = {named(each): each for each in before}, {named(each): each for each in after}
    for name, each in old.items():
        if name not in new:
            yield f"- {kind} {_whole(kind, name, each)}"
    for name, each in new.items():
        if name not in old:
            yield f"+ {kind} {_whole(kind, name, each)}"
        elif kind == "limit" and each != old[name]:
            yield f"~ limit {name}: {_shown(old[name]['amount'])} -> {_shown(each['amount'])}"
        else:
            yield from (f"~ {kind} {name}: {line}" for line in between(old[name], each))
    if [each for each in old if each in new] != [each for each in new if each in old]:
        yield f"order of {kind}s: {', '.join(old)} -> {', '.join(new)}"


def _target(target: Written) -> str:
    return f"{target['provider']}/{target['model']}" if "provider" in target else f"nodes/{target.get('nodes')}"


def _limit(limit: Written) -> str:
    window = "".join(f"/{limit[part]}" for part in ("per", "time_zone") if part in limit)
    return f"{limit['metric']}{window}" + (f"@{limit['model']}" if "model" in limit else "")


_NAMED: Mapping[str, Callable[[Any], str]] = {"targets": _target, "limits": _limit}


def _whole(kind: str, name: str, item: Written) -> str:
    if kind == "limit":
        return f"{name}={_shown(item['amount'])}"
    rest = {key: value for key, value in item.items() if key not in {"provider", "model", "nodes"}}
    return f"{name} {export.inline(rest)}" if rest else name


def _secrets(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """Removes secrets, and reports only whether they changed."""
    if "credentials" in before or "credentials" in after:
        old, new = len(before.pop("credentials", None) or ()), len(after.pop("credentials", None) or ())
        what = f"{old} -> {new}" if old != new else f"{new}, replaced"
        yield f"credentials: {what} (not shown)"
    if "value" in before or "value" in after:
        before.pop("value", None)
        after.pop("value", None)
        yield "value: another one (not shown)"


def _decoded(fields: Iterable[admin.FieldChange], side: str) -> dict[str, Any]:
    texts = {each.field: getattr(each, side) for each in fields}
    found = {name: json.loads(text) for name, text in texts.items() if text}
    for target in found.get("targets") or ():
        price = target.get("price") or {}
        if price.get("valid_from", 0) <= time.time():  # when it began is not worth a line; when it will begin is
            price.pop("valid_from", None)
    return found


def _shown(value: Any) -> str:
    return "(default)" if value is None else export.inline(value)
