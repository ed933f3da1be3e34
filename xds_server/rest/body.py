"""Parses a JSON body into a message: every member must be known, have its field's type, and occur once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

from google.protobuf.message import Message

from xds_server.admin.problems import Problems
from xds_server.rest import fields, values
from xds_server.rest.errors import MalformedBodyError

_NO_NAMES: frozenset[str] = frozenset()


class _Object(dict[str, Any]):
    """An object, with the names that it has more than once."""

    __slots__ = ("repeated",)  # a body may have millions of objects

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = _NO_NAMES
        if len(self) < len(pairs):
            counted = Counter(name for name, _ in pairs)
            self.repeated = frozenset(name for name, count in counted.items() if count > 1)


def parse(content: bytes) -> Any:
    """Returns the JSON value. An empty body is an empty object. Raises MalformedBodyError with the position of the
    mistake.
    """
    if not content.strip():
        return _Object([])
    try:
        return json.loads(content.decode(), object_pairs_hook=_Object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"the body is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise MalformedBodyError(f"the body is not JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise MalformedBodyError("the body is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits, NaN
        raise MalformedBodyError("the body has a number that is not valid in JSON, or too long") from error


def fill(message: Message, given: Any, problems: Problems, bound: Collection[str] = ()) -> None:
    """Sets the fields that `given` has. `bound` are paths of fields that are given elsewhere, which makes them
    present.
    """
    if not isinstance(given, _Object):
        problems.note(f"{values.kind(given)} is not accepted; accepted: an object")
        return
    known = fields.by_name(message.DESCRIPTOR)
    seen = set()
    for name, value in given.items():
        if problems.are_enough:
            break
        field = known.get(name)
        if field is None:
            problems.note(fields.unknown(name, [each.name for each in message.DESCRIPTOR.fields]))
            continue
        here = problems.at(field.name)
        if field.name in seen or name in given.repeated:
            here.note("given twice; accepted: once")
            continue
        seen.add(field.name)
        inside = [path.partition(".")[2] for path in bound if path.startswith(f"{field.name}.")]
        if value is not None:
            _set(message, field, value, here, inside)
    for field in message.DESCRIPTOR.fields:
        is_given = given.get(field.name, given.get(field.json_name)) is not None
        if fields.is_required(field) and not is_given and field.name not in bound:
            problems.at(field.name).note("missing")


def _set(message: Message, field: Any, value: Any, problems: Problems, bound: Collection[str]) -> None:
    if not field.is_repeated:
        _set_one(message, field, value, problems, bound)
        return
    if not isinstance(value, list):
        problems.note(f"{values.kind(value)} is not accepted; accepted: an array")
        return
    items = getattr(message, field.name)
    for index, each in enumerate(value):
        here = Problems(f"{problems.path}[{index}]", problems.found)
        if field.message_type is not None:
            fill(items.add(), each, here)
        elif (read := values.of_json(each, field, here)) is not None:
            items.append(read)


def _set_one(message: Message, field: Any, value: Any, problems: Problems, bound: Collection[str]) -> None:
    if field.message_type is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        fill(inner, value, problems, bound)
    elif (read := values.of_json(value, field, problems)) is not None:
        setattr(message, field.name, read)


def _no_number(text: str) -> Any:
    raise ValueError(text)
