"""Converts between values of the model and rows: a field and its column share a name, and the field's type
determines how it is stored.

Numbers, text, truth values and bytes are stored as they are, enumerations as their words, and lists as JSON. A
field that holds another dataclass is stored as the columns of that dataclass.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_PLAIN = frozenset({int, str, bytes})


class Coding(NamedTuple):
    """Writes values of one type to a column and reads them back."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


class Columns(Generic[T]):
    """The columns of `of`, in the order of its fields.

    `apart` are fields without a column of this kind: the caller passes them to `decode`, and stores them itself.
    `codings` override what a field's type determines.
    """

    def __init__(
        self, of: type[T], *, apart: Sequence[str] = (), codings: Mapping[str, Coding] | None = None
    ) -> None:
        self._of = of
        self._parts: dict[str, Columns[Any]] = {}
        self._codings: dict[str, Coding] = {}
        hints = get_type_hints(of)
        for field in dataclasses.fields(of):  # type: ignore[arg-type]
            hint = hints[field.name]
            if codings is not None and field.name in codings:
                self._codings[field.name] = codings[field.name]
            elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
                self._parts[field.name] = Columns(hint)
            elif field.name not in apart:
                self._codings[field.name] = coding(hint)
        self.names: tuple[str, ...] = (
            *self._codings,
            *(name for part in self._parts.values() for name in part.names),
        )
        self._reads = tuple((name, each.read) for name, each in self._codings.items())

    def select(self, prefix: str = "") -> str:
        """Returns the list of columns for a SELECT, each after `prefix`."""
        return ", ".join(f"{prefix}{name}" for name in self.names)

    def decode(self, row: Sequence[Any], **apart: Any) -> T:
        """Returns the value of a row whose columns are `names`. `apart` are the fields that have no column."""
        if not apart and not self._parts:  # thousands of keys and nodes: all fields, in their order
            return self._of(*[read(column) for (_, read), column in zip(self._reads, row, strict=True)])
        values = {name: read(column) for (name, read), column in zip(self._reads, row, strict=False)}
        at = len(self._reads)
        for name, part in self._parts.items():
            end = at + len(part.names)
            values[name] = part.decode(row[at:end])
            at = end
        return self._of(**values, **apart)

    def decode_row(self, row: object, **apart: Any) -> T:
        """Decodes a row that is an object with an attribute for each column."""
        return self.decode([getattr(row, name) for name in self.names], **apart)

    def encode(self, value: T) -> dict[str, Any]:
        """Returns the columns by name."""
        columns = {name: each.write(getattr(value, name)) for name, each in self._codings.items()}
        for name, part in self._parts.items():
            columns |= part.encode(getattr(value, name))
        return columns


@cache
def coding(hint: Any) -> Coding:
    """Returns how values of a type are stored. Raises TypeError for a type without a coding."""
    if hint in _PLAIN:
        return Coding(_same, bytes if hint is bytes else _same)
    if hint is bool:  # SQLite returns numbers
        return Coding(_same, bool)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return Coding(_word, hint)
    if get_origin(hint) in {Union, types.UnionType}:
        inner = coding(_present(hint))
        return Coding(
            lambda value: None if value is None else inner.write(value),
            lambda column: None if column is None else inner.read(column),
        )
    if get_origin(hint) is tuple:
        read_list, write_list = _in_json(hint)

        @lru_cache(maxsize=1024)  # thousands of keys share a few lists
        def read(text: str) -> Any:
            return read_list(json.loads(text))

        return Coding(lambda value: json.dumps(write_list(value), separators=(",", ":")), read)
    raise TypeError(f"no column holds a {hint}")


def _in_json(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Returns functions that read JSON and write it: a dataclass is the list of its fields, in which None is "".

    A list that was written before a field was added is shorter, and the field has its default.
    """
    if get_origin(hint) is tuple:
        read_item, write_item = _in_json(get_args(hint)[0])
        return (
            lambda items: tuple(read_item(each) for each in items),
            lambda items: [write_item(each) for each in items],
        )
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _object_in_json(hint)
    read, write = coding(hint).read, coding(hint).write
    if not _is_optional(hint):
        return read, write
    return (
        lambda value: None if value == "" else read(value),
        lambda value: "" if value is None else write(value),
    )


def _object_in_json(of: type[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    hints = get_type_hints(of)
    fields = [(field.name, *_in_json(hints[field.name])) for field in dataclasses.fields(of)]

    def read(row: Sequence[Any]) -> Any:
        return of(*(read_field(value) for (_, read_field, _), value in zip(fields, row, strict=False)))

    def write(value: Any) -> list[Any]:
        return [write_field(getattr(value, name)) for name, _, write_field in fields]

    return read, write


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def _present(hint: Any) -> Any:
    """Returns the only type other than None."""
    (present,) = (each for each in get_args(hint) if each is not type(None))
    return present


def _same(value: Any) -> Any:
    return value


def _word(member: StrEnum) -> str:
    return member.value
