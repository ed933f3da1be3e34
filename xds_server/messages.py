"""Values of the model ↔ protobuf messages: what has one name on both sides is the same thing.

Enumerations correspond by the names of their members: `METRIC_COST_USD` is `Metric.COST_USD`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

E = TypeVar("E", bound=Enum)
V = TypeVar("V")
M = TypeVar("M", bound=Message)

_UNSPECIFIED = "UNSPECIFIED"


class Encoder(Generic[V, M]):
    """Makes messages of one type of values of one dataclass.

    `given` are fields of the message that a call may give; `unsaid` are fields of the value that are not taken over.

    Raises:
        TypeError: a field of either side is neither on the other side nor in these lists.
    """

    def __init__(
        self, value: type[V], message: type[M], *, given: Collection[str] = (), unsaid: Collection[str] = ()
    ) -> None:
        self._message = message
        fields = message.DESCRIPTOR.fields_by_name
        names = {field.name for field in dataclasses.fields(value)} - set(unsaid)  # type: ignore[arg-type]
        where = f"{value.__name__} → {message.DESCRIPTOR.full_name}"
        if forgotten := names - set(fields):
            raise TypeError(
                f"{where}: the message has no field for {_listed(forgotten)}; add it, or say so in `unsaid`"
            )
        if forgotten := set(fields) - names - set(given):
            raise TypeError(f"{where}: nothing fills {_listed(forgotten)}; add it to the value, or to `given`")
        hints = get_type_hints(value)
        self._converters = tuple(
            (name, _converter(hints[name], fields[name])) for name in fields if name in names - set(given)
        )

    def __call__(self, value: V, **given: Any) -> M:
        """None leaves a field of the message unset."""
        fields = {name: convert(getattr(value, name)) for name, convert in self._converters}
        return self._message(**fields, **given)


def member(enum: type[E], descriptor: EnumDescriptor, number: int) -> E | None:
    """Returns the member for a number; None for UNSPECIFIED and for a number that is not known."""
    found = descriptor.values_by_number.get(number)
    name = found.name.removeprefix(_prefix(descriptor)) if found is not None else _UNSPECIFIED
    return enum.__members__.get(name)


def number(descriptor: EnumDescriptor, value: Enum | None) -> int:
    """Returns the number of a member; that of UNSPECIFIED for None."""
    name = _prefix(descriptor) + (_UNSPECIFIED if value is None else value.name)
    return descriptor.values_by_name[name].number


def _prefix(descriptor: EnumDescriptor) -> str:
    return descriptor.values_by_number[0].name.removesuffix(_UNSPECIFIED)


def _converter(hint: Any, field: FieldDescriptor) -> Callable[[Any], Any]:
    if get_origin(hint) is types.UnionType:
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    item = get_args(hint)[0] if get_origin(hint) is tuple else hint
    if field.message_type is not None:
        encode = Encoder(item, field.message_type._concrete_class)
        return encode if item is hint else lambda values: [encode(each) for each in values]
    if field.enum_type is not None:
        numbers = {each: number(field.enum_type, each) for each in [None, *item]}
        return numbers.__getitem__
    return _same


def _same(value: Any) -> Any:
    return value


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
