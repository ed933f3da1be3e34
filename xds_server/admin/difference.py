"""Renders events and conflicts as messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from trunkline_proto.admin.v1 import admin_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.messages import Encoder
from xds_server.model import Limit
from xds_server.store.managers import Conflict, ConflictReason
from xds_server.store.records import Action, ObjectType

if TYPE_CHECKING:
    from xds_server.store.writing.transaction import ObjectChange

_KINDS = {
    Action.CREATE: pb.Change.KIND_CREATE,
    Action.UPDATE: pb.Change.KIND_UPDATE,
    Action.DELETE: pb.Change.KIND_DELETE,
    Action.REVOKE: pb.Change.KIND_DELETE,
    Action.ROTATE: pb.Change.KIND_UPDATE,
    Action.CANCEL: pb.Change.KIND_DELETE,
}
_REASONS = {
    ConflictReason.MANAGED_ELSEWHERE: pb.Conflict.REASON_MANAGED_ELSEWHERE,
    ConflictReason.REMOVED: pb.Conflict.REASON_REMOVED,
    ConflictReason.NOT_PRUNED: pb.Conflict.REASON_NOT_PRUNED,
    ConflictReason.IN_USE: pb.Conflict.REASON_IN_USE,
    ConflictReason.REFERS_TO_REMOVED: pb.Conflict.REASON_REFERS_TO_REMOVED,
}
_TYPE_ORDER = list(ObjectType)
_LIMIT = Encoder(Limit, policy_pb2.Limit)


def changes(events: Iterable[ObjectChange]) -> list[pb.Change]:
    """Returns the changes by kind of object and name; for one name, removals come first."""
    ordered = sorted(
        events,
        key=lambda event: (
            _TYPE_ORDER.index(event.object_type),
            event.object_name,
            _KINDS[event.action] is not pb.Change.KIND_DELETE,
        ),
    )
    return [
        pb.Change(
            kind=_KINDS[event.action],
            object_type=event.object_type,
            object_name=event.object_name,
            fields=_fields(event.before, event.after, event.changed - {"id"}),
        )
        for event in ordered
    ]


def conflicts(found: Iterable[Conflict]) -> list[pb.Conflict]:
    """Returns the conflicts in the order of `changes`."""
    ordered = sorted(found, key=lambda each: (_TYPE_ORDER.index(each.object_type), each.object_name))
    return [
        pb.Conflict(
            reason=_REASONS[each.reason],
            object_type=each.object_type,
            object_name=each.object_name,
            limit=_LIMIT(each.limit) if each.limit is not None else None,
            managed_by=each.managed_by,
            fields=_fields(each.before, each.after, each.changed),
            detail=each.detail,
        )
        for each in ordered
    ]


def _fields(before: object, after: object, changed: Iterable[str]) -> list[pb.FieldChange]:
    return [
        pb.FieldChange(field=field, before=_json(before, field), after=_json(after, field))
        for field in sorted(changed)
    ]


def _json(view: Mapping[str, Any] | object, field: str) -> str:
    if not isinstance(view, dict) or field not in view:
        return ""
    return json.dumps(view[field], separators=(",", ":"), ensure_ascii=False)
