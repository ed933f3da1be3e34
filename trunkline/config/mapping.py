"""Maps fields of trunkline.yaml to fields of the admin API's messages and back, by their names.

`first_byte`, which is Milliseconds, is `first_byte_ms` in a message. A section without its own message, such as
`cache`, is a prefix: its `ttl`, which is Seconds, is `cache_ttl_seconds`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Mapping as MappingOf
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from google.protobuf import message_factory
from google.protobuf.message import Message
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from trunkline_proto.words import Words

#: Stands for the value of a required enumeration that only a later version knows.
_UNKNOWN = "unknown"
G = TypeVar("G", bound=BaseModel)
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Unit:
    """The form of a number in messages: `suffix` ends the field's name, `written` converts the number to the
    file's.
    """

    suffix: str = ""
    written: Callable[[int], Any] = int


class Converter(Protocol):
    """Converts one kind of object in both directions."""

    def message(self, given: Any, /) -> Message:
        """Returns the message for an object of the file."""

    def written(self, stored: Any, /) -> dict[str, Any]:
        """Returns the object of the file, without defaults."""


class FieldPair(NamedTuple):
    """A field of the file and its field in the message."""

    path: tuple[str, ...]
    name: str
    kind: Any
    default: Any


class Mapping(Generic[G, M]):
    """Pairs the fields of `model`, the file's type, with those of `message`.

    The caller handles the fields `apart` of the model and `beside` of the message. Fields in `always` are written
    even if they are 0; values in `quiet` are left out if they are the default. `parts` map the objects inside; an
    object without an entry there gets a Mapping of its own.

    Raises:
        TypeError: a field of one side is neither on the other side nor in these lists.
    """

    def __init__(
        self,
        model: type[G],
        message: type[M],
        *,
        apart: Collection[str] = (),
        beside: Collection[str] = (),
        always: Collection[str] = (),
        quiet: Collection[str] = (),
        parts: MappingOf[type[BaseModel], Converter] | None = None,
    ) -> None:
        self._message = message
        self._always = always
        self._quiet = quiet
        self._parts: dict[type[BaseModel], Converter] = dict(parts or {})
        descriptors: MappingOf[str, Any] = message.DESCRIPTOR.fields_by_name
        self.fields = [each for each in _fields(model, descriptors) if each.path[0] not in apart]
        where = f"{model.__name__} of trunkline.yaml ↔ {message.DESCRIPTOR.full_name}"
        held = {field.name: ".".join(field.path) for field in self.fields}
        if forgotten := held.keys() - descriptors.keys():
            named = ", ".join(f"{held[name]} (as {name})" for name in sorted(forgotten))
            raise TypeError(f"{where}: no field takes {named}; add it to the message, or to `apart`")
        if forgotten := descriptors.keys() - held.keys() - set(beside):
            raise TypeError(
                f"{where}: nothing fills {', '.join(sorted(forgotten))}; add it to the file, or to `beside`"
            )
        for field in self.fields:
            inner = _model_of(field.kind)
            if inner is not None and inner not in self._parts:
                of = message_factory.GetMessageClass(descriptors[field.name].message_type)
                self._parts[inner] = Mapping(inner, of)

    def part(self, field: FieldPair) -> Converter | None:
        """Maps the objects in a field; None for a field without objects."""
        inner = _model_of(field.kind)
        return self._parts.get(inner) if inner is not None else None

    def message(self, given: G) -> M:
        """Returns the message for what the file says; None leaves a field unset."""
        fields = {}
        for field in self.fields:
            value: Any = given
            for name in field.path:
                value = getattr(value, name)
            if value is not None:
                fields[field.name] = self._sent(field.kind, value)
        return self._message(**fields)

    def written(self, stored: M) -> dict[str, Any]:
        """Returns the object of the file, without defaults."""
        found: dict[str, Any] = {}
        for field in self.fields:
            value = self._shown(field, stored)
            if value is None:
                continue
            section = found
            for name in field.path[:-1]:
                section = section.setdefault(name, {})
            section[field.path[-1]] = value
        return found

    def _sent(self, kind: Any, value: Any) -> Any:
        inner = _model_of(kind)
        if isinstance(value, list):
            return [self._parts[inner].message(each) if inner is not None else each for each in value]
        if inner is not None:
            return self._parts[inner].message(value)
        words = _metadata(kind, Words)
        return words[value] if words is not None else value

    def _shown(self, field: FieldPair, stored: M) -> Any:
        """Returns the value, or None if it is the default."""
        value = getattr(stored, field.name)
        inner, words = _model_of(field.kind), _metadata(field.kind, Words)
        descriptor: Any = stored.DESCRIPTOR.fields_by_name[field.name]
        if descriptor.has_presence:
            if not stored.HasField(field.name):
                return None
            return (
                (self._parts[inner].written(value) or None) if inner is not None else _with_unit(field.kind, value)
            )
        if words is not None:
            word = words.word(value, _UNKNOWN if field.default is PydanticUndefined else field.default)
            return None if word == field.default and field.name in self._quiet else word
        if descriptor.is_repeated:
            shown = [self._parts[inner].written(each) if inner is not None else each for each in value]
            return shown if shown and shown != field.default else None
        return _with_unit(field.kind, value) if value or field.name in self._always else None


def _fields(model: type[BaseModel], descriptors: MappingOf[str, Any]) -> Iterator[FieldPair]:
    hints = get_type_hints(model, include_extras=True)
    for name, info in model.model_fields.items():
        kind = hints[name]
        inner = _model_of(kind)
        unit = _metadata(kind, Unit)
        if inner is not None and name not in descriptors and not _is_list(kind):
            for field in _fields(inner, {}):
                yield FieldPair((name, *field.path), f"{name}_{field.name}", field.kind, field.default)
        else:
            yield FieldPair((name,), name + (unit.suffix if unit is not None else ""), kind, info.default)


def _with_unit(kind: Any, value: Any) -> Any:
    unit = _metadata(kind, Unit)
    return unit.written(value) if unit is not None else value


def _metadata(kind: Any, of: type[Any]) -> Any:
    """Returns the unit of `Annotated[…]`, also inside `… | None`; None if there is none."""
    if get_origin(kind) in {Union, types.UnionType}:
        return next((found for each in get_args(kind) if (found := _metadata(each, of)) is not None), None)
    if get_origin(kind) is Annotated:
        return next((each for each in get_args(kind)[1:] if isinstance(each, of)), None)
    return None


def _model_of(kind: Any) -> type[BaseModel] | None:
    """Returns the model in `list[Model]`, `Model | None` or `Annotated[…]`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next((found for each in get_args(kind) if (found := _model_of(each)) is not None), None)


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is list or any(map(_is_list, get_args(kind)))
