"""The differences between similar resources, so that a golden file does not repeat their common parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Stands for a field that only the other resource has.
ABSENT = "<absent>"
#: Smaller values are given as a whole.
_LARGE = 15
_MUCH_SHORTER = 0.6


def differences(value: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields path and own value of each part of `value` that differs from `other`.

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
    """Returns the number of plain values, which is about the number of lines that they take."""
    if isinstance(value, Mapping):
        return sum(1 + size(each) for each in value.values())
    if isinstance(value, list):
        return sum(size(each) for each in value)
    return 1


def briefly(value: Any, models: Mapping[str, Any]) -> Any:
    """Returns the differences from the most similar one of `models` (by name), if they are much shorter than
    `value`.

    Otherwise returns the whole value, in which large values of one mapping refer to similar ones.
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
