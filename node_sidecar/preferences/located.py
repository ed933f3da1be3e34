"""Converts what YAML read into declared types. An error names the line, the key and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import yaml

from node_sidecar.errors import SettingsError

T = TypeVar("T")
#: Keys and list positions from the document to a value: `("upstreams", 0, "url")`.
Path = tuple[Any, ...]

_AT = re.compile(r"(?s)(.*) - at `\$(.*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"(?s)Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTED = re.compile(r"Expected `([^`]*)`(?: of length >= 1)?(?:, got `(.*)`)?")
#: msgspec's names of types → what the file has to have there.
_NEEDED = {
    "object": "must be a mapping",
    "array": "must be a list with at least one entry",
    "bool": "must be true or false",
    "str": "must be text",
    "str | null": "must be text",
    "str | object": "must be a URL, or a mapping with a url",
}
_FOUND = {"object": "a mapping", "array": "a list", "str": "text", "int": "a number", "float": "a number"}


class PreferenceError(SettingsError):
    """Something is wrong with the value at `path`; `key` is a key below it that must not be there."""

    def __init__(self, path: Path, problem: str, key: Any = None) -> None:
        super().__init__(f"{place(path) or 'node.yaml'}: {problem}")
        self.path = path if key is None else (*path, key)


def convert(content: Any, wanted: type[T], path: Path, keys: Callable[[Path], Sequence[str]]) -> T:
    """Converts `content`, the value at `path`; `keys` returns the keys of the mapping at a path.

    Raises:
        PreferenceError: at the first value that does not fit.
    """
    try:
        return msgspec.convert(content, wanted, dec_hook=_parse)
    except msgspec.ValidationError as error:
        raise _explained(str(error), path, keys) from error


def place(path: Path) -> str:
    """Returns `upstreams[0].url` for `("upstreams", 0, "url")`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def line_of(text: str, path: Path) -> int:
    """Returns the line, counted from 1, of the innermost value on `path` that is in the YAML `text`."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 0
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step], node.value[step]
        else:
            found = None
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return line + 1


def _explained(message: str, path: Path, keys: Callable[[Path], Sequence[str]]) -> PreferenceError:
    located = _AT.fullmatch(message)
    problem = message if located is None else located[1]
    if located is not None:
        path += tuple(int(number) if number else key for key, number in _STEP.findall(located[2]))
    if unknown := _UNKNOWN.fullmatch(problem):
        return PreferenceError(path, f"{unknown[1]!r} is not known; there are {', '.join(keys(path))}", unknown[1])
    if missing := _MISSING.fullmatch(problem):
        hint = f"; write `{missing[1]}: 0` if it is free" if path[:1] == ("prices",) else ""
        return PreferenceError((*path, missing[1]), f"is missing{hint}")
    if expected := _EXPECTED.fullmatch(problem):
        # The value itself is not shown: a local server's key may be in it.
        found = f", not {_FOUND.get(expected[2], expected[2])}" if expected[2] else ""
        return PreferenceError(path, f"{_NEEDED.get(expected[1], expected[1])}{found}")
    return PreferenceError(path, problem)


def _parse(scalar: type[Any], value: Any) -> Any:
    """Makes a value of the module `values`; msgspec adds to its ValueError where the value stands."""
    return scalar.parse(value)
