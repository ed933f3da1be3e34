"""Collects the problems of a request, each under its field's path."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from xds_server.errors import InvalidFieldError

_MAX = 20
#: With this many, looking for more is a waste: finding the name that was meant takes time.
_ENOUGH = 100
_NAMES_SHOWN = 20


class Problems:
    """A list of problems. `at` moves to a field inside this one; both note into the same list.

    Callers quote a value only if it cannot be a secret.
    """

    def __init__(self, path: str = "", found: list[str] | None = None) -> None:
        self.path = path
        self.found = found if found is not None else []

    def at(self, field: str, index: int | None = None) -> Problems:
        """Returns the problems of a field, or of one item of it, which are collected together with these."""
        here = f"{self.path}.{field}" if self.path else field
        return Problems(here if index is None else f"{here}[{index}]", self.found)

    def note(self, problem: str) -> None:
        """Adds a problem under the path of its field."""
        self.found.append(f"{self.path}: {problem}" if self.path else problem)

    @property
    def are_enough(self) -> bool:
        """Returns whether enough problems were found to stop looking for more."""
        return len(self.found) >= _ENOUGH

    def __bool__(self) -> bool:
        return bool(self.found)

    def raise_if_any(self) -> None:
        """Raises InvalidFieldError with the first twenty problems, if there are any."""
        if self.found:
            hidden = len(self.found) - _MAX
            rest = [f"and {hidden} more"] if hidden > 0 else []
            raise InvalidFieldError([*self.found[:_MAX], *rest])


@contextmanager
def checking(path: str = "") -> Iterator[Problems]:
    """Yields a Problems, and raises InvalidFieldError at the end if any were noted."""
    problems = Problems(path)
    yield problems
    problems.raise_if_any()


def known(names: Collection[str], meant: str = "") -> str:
    """Returns `known: a, b`, for a name that is not among them, with the one that was probably `meant`."""
    if not names:
        return "there are none yet"
    close = difflib.get_close_matches(meant[:200], names, n=1) if meant else []
    return f"{f'did you mean {close[0]}? ' if close else ''}known: {some(names)}"


def some(names: Collection[str]) -> str:
    """Lists names in order; of many, only the first ones and the number of the others."""
    shown = sorted(names)[:_NAMES_SHOWN]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return f"{', '.join(shown)}{more}"
