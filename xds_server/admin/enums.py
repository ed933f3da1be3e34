"""Reads enumerations of requests as the model's enumerations."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from google.protobuf.message import Message

from xds_server.admin.problems import Problems
from xds_server.messages import member

E = TypeVar("E", bound=StrEnum)


def read(enum: type[E], message: Message, field: str, default: E, problems: Problems) -> E:
    """Returns the member that a field of `message` names, `default` for UNSPECIFIED.

    An unknown number is noted; `problems` is at the message.
    """
    number = getattr(message, field)
    if number == 0:
        return default
    found = optional(enum, message, field)
    if found is None:
        problems.at(field).note(f"not a known value; accepted: {', '.join(enum)}")
    return found or default


def optional(enum: type[E], message: Message, field: str) -> E | None:
    """Same as `read`, but without a default and without noting a problem."""
    return member(enum, message.DESCRIPTOR.fields_by_name[field].enum_type, getattr(message, field))
