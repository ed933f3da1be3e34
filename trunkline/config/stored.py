"""Converts an object in the audit log and in differences (JSON, in the control plane's units) to a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf import message_factory
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def message(view: Mapping[str, Any], of: type[M]) -> M:
    """Sets the fields of `of` that the view has."""
    found = of()
    for name, value in view.items():
        field: Any = of.DESCRIPTOR.fields_by_name.get(name)
        if field is None or value is None or (name == "time_zone" and value == "UTC"):
            continue
        if field.is_repeated:
            getattr(found, name).extend(_value(each, field) for each in value)
        elif field.message_type is not None:
            getattr(found, name).CopyFrom(_value(value, field))
        else:
            setattr(found, name, _value(value, field))
    return found


def _value(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return message(value, message_factory.GetMessageClass(field.message_type))
    if field.enum_type is not None:
        prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
        known = field.enum_type.values_by_name.get(prefix + str(value).upper().replace("-", "_"))
        return known.number if known is not None else 0
    return value
