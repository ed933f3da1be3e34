"""Parses single values of JSON, of a query or of a path into values of a message's field, strictly."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from xds_server.admin.problems import Problems
from xds_server.admin.values import quoted

#: Protobuf has two implementations of this type, and its stubs know only parts of the second.
Field: TypeAlias = Any

_MAX_NUMBER = 11
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_JSON_TYPES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


def of_json(value: Any, field: Field, problems: Problems) -> Any:
    """Returns the value of `field`, which is not a message; None after a problem, which repeats no text that may
    be a secret.
    """
    if field.enum_type is not None:
        return _member(value, field, problems)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return value if isinstance(value, bool) else _wrong(value, "true or false", problems)
    if field.cpp_type in _RANGES:
        return _integer(value, field, problems)
    if not isinstance(value, str):
        return _wrong(value, "a string", problems)
    return _bytes(value, problems) if field.type == FieldDescriptor.TYPE_BYTES else _text(value, problems)


def of_text(text: str, field: Field, problems: Problems) -> Any:
    """Same as `of_json`, for a value that is text regardless of the field's type."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in {"true", "false"}:
            problems.note(f"{quoted(text)} is not accepted; accepted: true or false")
            return None
        return text == "true"
    if field.enum_type is not None and text.isascii() and text.isdecimal() and len(text) < _MAX_NUMBER:
        return of_json(int(text), field, problems)
    if field.cpp_type in _RANGES and field.enum_type is None and not _INTEGER.fullmatch(text):
        problems.note(f"{quoted(text)} is not accepted; accepted: a whole number")
        return None
    return of_json(text, field, problems)


def kind(value: Any) -> str:
    """Returns the kind of a JSON value, in words."""
    return _JSON_TYPES.get(type(value), "a number")


def _member(value: Any, field: Field, problems: Problems) -> Any:
    names = {each.name: each.number for each in field.enum_type.values}
    if isinstance(value, str) and value in names:
        return int(names[value])
    if type(value) is int and value in names.values():
        return value
    accepted = ", ".join(name for name, number in names.items() if number)
    shown = quoted(value) if isinstance(value, str) else kind(value)
    problems.note(f"{shown} is not accepted; accepted: {accepted}")
    return None


def _integer(value: Any, field: Field, problems: Problems) -> Any:
    least, most = _RANGES[field.cpp_type]
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return _wrong(value, "a whole number", problems)
    if not least <= value <= most:
        problems.note(f"the number is out of range; accepted: {least:,} to {most:,}")
        return None
    return value


def _text(value: str, problems: Problems) -> str | None:
    if "\0" in value or not _is_unicode(value):
        problems.note("holds a NUL or half a character; accepted: text")
        return None
    return value


def _bytes(value: str, problems: Problems) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        problems.note("not base64")
        return None


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can escape one half of a surrogate pair
        return False
    return True


def _wrong(value: Any, accepted: str, problems: Problems) -> Any:
    """Notes the problem and returns None."""
    problems.note(f"{kind(value)} is not accepted; accepted: {accepted}")
    return None
