"""A request for each binding with a value in every field, generated from the descriptors."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from tests.parity.fields import is_output_only
from xds_server.rest import fields
from xds_server.rest.bindings import Binding

_DEEPEST = 8


def value(field: Any, depth: int = 0) -> Any:
    """Returns JSON for a field, with all of its fields if it is a message."""
    if field.message_type is not None:
        one: Any = body(field.message_type, depth + 1)
    elif field.enum_type is not None:
        one = field.enum_type.values[1].name
    elif field.type == FieldDescriptor.TYPE_BOOL:
        one = True
    elif field.type == FieldDescriptor.TYPE_STRING:
        one = "text"
    elif field.type == FieldDescriptor.TYPE_BYTES:
        one = "aGFzaA=="
    else:
        one = 7
    return [one, copy.deepcopy(one)] if field.is_repeated else one


def body(descriptor: Any, depth: int = 0) -> dict[str, Any]:
    """Returns JSON for a message, without output-only fields."""
    assert depth < _DEEPEST, descriptor.full_name
    return {each.name: value(each, depth) for each in descriptor.fields if not is_output_only(each)}


def request(binding: Binding) -> tuple[str, dict[str, Any] | None]:
    """Returns the path with its query, and the body."""
    path = binding.template
    for variable in binding.variables:
        path = path.replace(f"{{{variable}}}", "text")
    if binding.has_body:
        return path, body(binding.request.DESCRIPTOR)
    pairs = []
    for name, field in fields.leaves(binding.request.DESCRIPTOR):
        if name not in binding.variables:
            given = value(field)
            several = given if isinstance(given, list) else [given]
            pairs += [f"{name}={'true' if each is True else each}" for each in several]
    return path + ("?" + "&".join(pairs) if pairs else ""), None


def places(given: Any, descriptor: Any, path: str = "") -> Iterator[tuple[str, Any, dict[str, Any], str]]:
    """Yields every member of a body: its path, its field, and the object and name that hold it."""
    for field in descriptor.fields:
        if field.name not in given:
            continue
        here = f"{path}.{field.name}" if path else field.name
        yield here, field, given, field.name
        if field.message_type is not None:
            inner = given[field.name]
            if field.is_repeated:
                yield from places(inner[1], field.message_type, f"{here}[1]")
            else:
                yield from places(inner, field.message_type, here)
