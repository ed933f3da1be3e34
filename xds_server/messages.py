"""Converts between values of the model and protobuf messages. Fields of the same name on both sides correspond.

Enumerations correspond by the names of their members: `METRIC_COST_USD` is `Metric.COST_USD`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from google.protobuf import message_factory
from google.protobuf.message import Message

E = TypeVar("E", bound=Enum)
V = TypeVar("V")
M = TypeVar("M", bound=Message)

#: Protobuf has two implementations of these types, and its stubs know only parts of the second.
_EnumDescriptor: TypeAlias = Any
_FieldDescriptor: TypeAlias = Any

_UNSPECIFIED = "UNSPECIFIED"


class Encoder(Generic[V, M]):
    """Makes messages of one type from values of one dataclass.

    `given` are the fields of the message that the caller may supply; `omitted` are the fields of the value that
    the message leaves out. `parts` encode the values inside; a type that is not named there gets an Encoder of its
    own.

    Raises:
        TypeError: a field of one side is neither on the other side nor in these lists.
    """

    def __init__(
        self,
        value: type[V],
        message: type[M],
        *,
        given: Collection[str] = (),
        omitted: Collection[str] = (),
        parts: Mapping[type[Any], Callable[[Any], Any]] | None = None,
    ) -> None:
        self._message = message
        fields: dict[str, _FieldDescriptor] = dict(message.DESCRIPTOR.fields_by_name)
        names = {field.name for field in dataclasses.fields(value)} - set(omitted)  # type: ignore[arg-type]
        where = f"{value.__name__} → {message.DESCRIPTOR.full_name}"
        if forgotten := names - set(fields):
            raise TypeError(
                f"{where}: no field takes {_listed(forgotten)}; add it to the message, or to `omitted`"
            )
        if forgotten := set(fields) - names - set(given):
            raise TypeError(f"{where}: nothing fills {_listed(forgotten)}; add it to the value, or to `given`")
        hints = get_type_hints(value)
        self._converters = tuple(
            (name, _converter(hints[name], field, parts or {}))
            for name, field in fields.items()
            if name in names - set(given)
        )

    def __call__(self, value: V, **given: Any) -> M:
        """Encodes `value`. A `given` field that is None stays unset."""
        fields = {name: convert(getattr(value, name)) for name, convert in self._converters}
        return self._message(**fields, **given)


def member(enum: type[E], descriptor: _EnumDescriptor, number: int) -> E | None:
    """Returns the member for a number; None for UNSPECIFIED and for an unknown number."""
    found = descriptor.values_by_number.get(number)
    return enum.__members__.get(found.name.removeprefix(_prefix(descriptor))) if found is not None else None


def number(descriptor: _EnumDescriptor, value: Enum | None) -> int:
    """Returns the number of a member, and that of UNSPECIFIED for None. Raises TypeError for a member without a
    number.
    """
    name = _prefix(descriptor) + (_UNSPECIFIED if value is None else value.name)
    if name not in descriptor.values_by_name:
        raise TypeError(f"{descriptor.full_name} has no {name}")
    return int(descriptor.values_by_name[name].number)


def _prefix(descriptor: _EnumDescriptor) -> str:
    return str(descriptor.values_by_number[0].name).removesuffix(_UNSPECIFIED)


def _converter(
    hint: Any, field: _FieldDescriptor, parts: Mapping[type[Any], Callable[[Any], Any]]
) -> Callable[[Any], Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    item = get_args(hint)[0] if get_origin(hint) is tuple else hint
    if field.message_type is not None:
        encode = parts.get(item) or Encoder(item, message_factory.GetMessageClass(field.message_type))
        return encode if item is hint else lambda values: [encode(each) for each in values]
    if field.enum_type is not None:
        numbers = {each: number(field.enum_type, each) for each in [None, *item]}
        return numbers.__getitem__
    return _same


def _same(value: Any) -> Any:
    return value


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
