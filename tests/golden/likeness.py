"""What differs between two resources that are much alike, so that a golden file need not repeat the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Stands for a field that the other resource has and this one has not.
ABSENT = "<absent>"
#: Smaller values are given as a whole.
_LARGE = 15
_MUCH_SHORTER = 0.6


def differences(value: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and own value of everything that `value` has otherwise than `other`; nothing where they are equal.

    Lists of different lengths differ as a whole.
    """
    if isinstance(value, dict) and isinstance(other, dict):
        for key in (*value, *(key for key in other if key not in value)):
            at = f"{path}.{key}" if path else str(key)
            if key not in value:
                yield at, ABSENT
            elif key not in other:
                yield at, value[key]
            else:
                yield from differences(value[key], other[key], at)
    elif isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        for index, (each, others) in enumerate(zip(value, other, strict=True)):
            yield from differences(each, others, f"{path}[{index}]")
    elif value != other or type(value) is not type(other):
        yield path, value


def size(value: Any) -> int:
    """How many plain values it holds: about the lines that it takes."""
    if isinstance(value, Mapping):
        return sum(1 + size(each) for each in value.values())
    if isinstance(value, list):
        return sum(size(each) for each in value)
    return 1


def briefly(value: Any, models: Mapping[str, Any]) -> Any:
    """By what differs from the one of `models` (by name) that is most alike, if that is much shorter.

    Otherwise as a whole, in which large values of one mapping are given by their likeness to each other.
    """
    if size(value) > _LARGE and models:
        found = {name: dict(differences(value, model)) for name, model in models.items()}
        like = min(found, key=lambda name: size(found[name]))
        if size(found[like]) < size(value) * _MUCH_SHORTER:
            return {"like": like, **{path: briefly(each, {}) for path, each in found[like].items()}}
    if isinstance(value, list):
        return [briefly(each, {}) for each in value]
    if isinstance(value, dict):
        return {
            key: briefly(each, dict(list(value.items())[:index]))
            for index, (key, each) in enumerate(value.items())
        }
    return value
