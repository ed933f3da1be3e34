"""Finds fields of messages by the names that JSON may give them, and by paths to fields inside."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypeAlias

from google.api import field_behavior_pb2
from google.protobuf.message import Message

from xds_server.admin.values import quoted
from xds_server.rest.values import Field

#: Protobuf has two implementations of this type, and its stubs know only parts of the second.
Descriptor: TypeAlias = Any


@lru_cache(maxsize=256)
def by_name(descriptor: Descriptor) -> dict[str, Field]:
    """Returns every field by both of its names, `base_url` and `baseUrl`."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


def is_required(field: Field) -> bool:
    """Returns whether the API marks the field as required (`google.api.field_behavior`)."""
    behaviours = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviours


def leaves(descriptor: Descriptor, before: str = "") -> Iterator[tuple[str, Field]]:
    """Yields the fields that a query can give, with their paths: `filter.since`."""
    for field in descriptor.fields:
        if field.message_type is None:
            yield f"{before}{field.name}", field
        elif not field.is_repeated:
            yield from leaves(field.message_type, f"{before}{field.name}.")


def canonical(descriptor: Descriptor, path: str) -> str:
    """Returns the path in the names of the proto, `filter.key_id` for `filter.keyId`; empty if there is no such
    field.
    """
    names = []
    for part in path.split("."):
        field = by_name(descriptor).get(part) if descriptor is not None else None
        if field is None:
            return ""
        names.append(field.name)
        descriptor = field.message_type
    return ".".join(names)


def holder(message: Message, path: str) -> tuple[Any, str]:
    """Returns the message that has the last field of a path, and that field's name."""
    *inner, name = path.split(".")
    for each in inner:
        message = getattr(message, each)
    return message, name


def unknown(name: str, accepted: list[str]) -> str:
    """Returns the problem of a name that no field has."""
    if not accepted:
        return f"{quoted(name)} is not known; accepted: none"
    near = get_close_matches(name, accepted, n=1, cutoff=0.7)
    meant = f"did you mean `{near[0]}`? " if near else ""
    return f"{quoted(name)} is not known; {meant}accepted: {', '.join(accepted)}"
