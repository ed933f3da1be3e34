"""Finds the part of a state that can be built when the whole cannot, and the objects that are to blame.

The objects that have changed since the last working state are added step by step, by halves. One bad object among
thousands is found with some dozen builds, and everybody else's changes go out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from xds_server.model import DesiredState
from xds_server.reasons import Reason

Kind = Literal["organisations", "providers", "keys", "nodes", "routes"]
#: An object is added after the objects that it refers to, and removed before them.
_ORDER: tuple[Kind, ...] = ("organisations", "providers", "keys", "nodes", "routes")
#: Builds after which the rest is left as it was: each may take seconds.
_MAX_BUILDS = 64


@dataclass(frozen=True, slots=True)
class Broken:
    """An object that cannot be built, such as `route` and `gpt-4.1`, and the error that building it raised. The
    gateway has no name.
    """

    kind: str
    name: str
    error: Exception

    @property
    def reason(self) -> Reason:
        """Returns the reason for `status`: the object and the first line of the error."""
        said = str(self.error).partition("\n")[0][:200]
        return Reason.of_object(self.kind, self.name, "unbuildable", f"{type(self.error).__name__}: {said}")


@dataclass(frozen=True, slots=True)
class _Change:
    kind: Kind | Literal["gateway"]
    name: str
    value: Any  # None: the object was removed


def salvage(
    good: DesiredState, wanted: DesiredState, build: Callable[[DesiredState], Exception | None]
) -> tuple[DesiredState, tuple[Broken, ...]]:
    """Returns the state nearest to `wanted` that `build` accepts, and the objects that are missing in it."""
    search = _Search(build, wanted.revision)
    result = search.put(good, _changes(good, wanted))
    return replace(result, revision=wanted.revision), tuple(search.broken)


class _Search:
    def __init__(self, build: Callable[[DesiredState], Exception | None], revision: int) -> None:
        self._build = build
        self._revision = revision
        self._builds = 0
        self.broken: list[Broken] = []

    def put(self, base: DesiredState, changes: Sequence[_Change]) -> DesiredState:
        """Returns `base` with all of `changes` except the broken ones."""
        if not changes:
            return base
        tried = _with(base, changes)
        self._builds += 1
        error = self._build(replace(tried, revision=self._revision))
        if error is None:
            return tried
        if len(changes) == 1 or self._builds >= _MAX_BUILDS:
            self.broken += [Broken(*_named(base, each), error) for each in changes[:1]]
            return base
        half = len(changes) // 2
        return self.put(self.put(base, changes[:half]), changes[half:])


def _changes(good: DesiredState, wanted: DesiredState) -> list[_Change]:
    put: list[_Change] = []
    removed: list[_Change] = []
    for kind in _ORDER:
        before, after = getattr(good, kind), getattr(wanted, kind)
        if before is after:
            continue
        put += [_Change(kind, name, value) for name, value in after.items() if before.get(name) != value]
        removed += [_Change(kind, name, None) for name in before if name not in after]
    if good.gateway != wanted.gateway:
        put.append(_Change("gateway", "", wanted.gateway))
    return put + removed[::-1]


def _with(base: DesiredState, changes: Sequence[_Change]) -> DesiredState:
    kinds: dict[str, dict[str, Any]] = {}
    for each in changes:
        if each.kind == "gateway":
            base = replace(base, gateway=each.value)
            continue
        objects = kinds.setdefault(each.kind, dict(getattr(base, each.kind)))
        if each.value is None:
            objects.pop(each.name, None)
        else:
            objects[each.name] = each.value
    return replace(base, **kinds)  # type: ignore[arg-type]  # by the kinds' own names


def _named(base: DesiredState, change: _Change) -> tuple[str, str]:
    """Returns the kind and the name of what is changed."""
    if change.kind == "gateway":
        return "gateway", ""
    value = change.value if change.value is not None else getattr(base, change.kind).get(change.name)
    name = getattr(value, "model", None) or getattr(value, "name", None) or change.name
    return change.kind.removesuffix("s"), name
