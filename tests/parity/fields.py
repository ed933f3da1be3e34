"""Values for the fields of messages, from their descriptors, and the differences between two messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

WHOLE = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
}


def name_of(message: Message, field: Any) -> str:
    """Returns the field's name in the lists of exceptions, e.g. `Route.model`."""
    return f"{message.DESCRIPTOR.name}.{field.name}"


def is_output_only(field: Any) -> bool:
    return field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def values(field: Any) -> Iterator[Any]:
    """Yields values other than the default: each member of an enumeration, both truth values if the field has
    presence.

    Yields None for a field that holds messages.
    """
    if field.message_type is not None:
        return
    found: list[Any]
    if field.enum_type is not None:
        found = [each.number for each in field.enum_type.values if each.number]
    elif field.type == FieldDescriptor.TYPE_BOOL:
        found = [True, False] if field.has_presence else [True]
    elif field.type in WHOLE:
        found = [7]
    elif field.type == FieldDescriptor.TYPE_BYTES:
        found = [b"probe"]
    else:
        found = ["probe"]
    for value in found:
        yield [value] if field.is_repeated else value


def put(message: Message, field: str, value: Any) -> None:
    """Sets a field, also a repeated one."""
    message.ClearField(field)
    if isinstance(value, list):
        getattr(message, field).extend(value)
    else:
        setattr(message, field, value)


def differences(before: Message, after: Message) -> list[str]:
    """Returns a line such as `Route.tier: 7 became 0` for every field that differs between two messages of one
    type.
    """
    found = []
    for field in before.DESCRIPTOR.fields:
        first, second = getattr(before, field.name), getattr(after, field.name)
        if field.is_repeated:
            first, second = list(first), list(second)
        present = before.HasField(field.name) if field.has_presence else None
        kept = after.HasField(field.name) if field.has_presence else None
        if first != second or present != kept:
            found.append(f"{name_of(before, field)}: {first!r} became {second!r}")
    return found


def messages(root: Any, seen: frozenset[str] = frozenset()) -> Iterator[Any]:
    """Yields the descriptors of `root` and of all messages inside it."""
    if root.full_name in seen:
        return
    yield root
    for field in root.fields:
        if field.message_type is not None:
            yield from messages(field.message_type, seen | {root.full_name})
