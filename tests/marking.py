"""Marks each test with what it needs besides Python, and fails a test that starts a program without its marker.

A test gets its markers from its folder, from helpers that it or its fixtures name, and from `pytest.mark` on
itself, its parameter or its module (`pytestmark`). The guard observes each program that a test's process starts,
and fails a test without the marker. So `make quick`, which selects tests without these markers, starts no program.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations
from pathlib import Path, PurePath
from types import CodeType

import pytest
from _pytest.mark.expression import Expression

#: The markers that pyproject.toml registers.
MARKERS = ("envoy", "postgres", "redis", "browser", "compiler", "packages", "network", "processes")

#: Tests in these folders of tests/ always need these.
FOLDERS = {
    "clients": {"envoy", "packages"},
    "console": {"envoy"},
    "envoy": {"compiler"},
    "gateway": {"envoy"},
    "integration/nodes": {"envoy"},
}

#: A test needs this if it, or a fixture that it requests, names one of these helpers.
HELPERS = {
    "Edge": "envoy",
    "Envoy": "envoy",
    "EnvoyProcess": "envoy",
    "GatewayProcess": "envoy",
    "Llama": "processes",
    "NodeProcess": "processes",
    "ProviderProcess": "processes",
    "RedisServer": "redis",
    "control_plane": "processes",
    "create_subprocess_exec": "processes",
    "new_database": "postgres",
    "subprocess": "processes",
    "sync_playwright": "browser",
}

#: Markers that any other marker implies: a test with Envoy may also compile, or start other programs.
INCIDENTAL = {"compiler", "packages", "processes"}

#: The name of a program, and what starting it needs.
PROGRAMS = {
    "envoy": "envoy",
    "initdb": "postgres",
    "postgres": "postgres",
    "redis-server": "redis",
    "chromium": "browser",
    "playwright": "browser",
    "cc": "compiler",
    "gcc": "compiler",
    "clang": "compiler",
    "ziglang": "compiler",
    "npm": "packages",
    "npx": "packages",
    "uv": "packages",
    "pip": "packages",
    "ip": "network",
    "nft": "network",
}

#: Modules that start Envoy when they are run: `python -m trunkline up`.
_STARTING_ENVOY = (("trunkline", "up"), ("bench",))

#: Raised by helpers of the tests that share one program among several tests: `sys.audit(NEEDS, "postgres")`.
NEEDS = "trunkline.tests.needs"


def needs(command: Sequence[str]) -> set[str]:
    """Returns the markers of a test that runs `command`: `processes` for a program that PROGRAMS does not name."""
    names = [PurePath(each).name for each in command[:4]]
    found = {PROGRAMS[name] for name in names[:1] + _module(names)[:1] if name in PROGRAMS}
    if any(_module(names)[: len(started)] == list(started) for started in _STARTING_ENVOY):
        found.add("envoy")
    return found or {"processes"}


def _module(names: list[str]) -> list[str]:
    """Returns the module that Python runs, and its arguments."""
    return names[names.index("-m") + 1 :] if "-m" in names else []


class Guard:
    """Collects the programs that the running test has started without a marker for them."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self.unmarked: set[str] = set()

    def watch(self, item: pytest.Item | None) -> None:
        self._item = item
        self.unmarked = set()

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """Handles an audit event, see sys.addaudithook."""
        if self._item is None or event not in {"subprocess.Popen", NEEDS}:
            return
        found = {str(arguments[0])} if event == NEEDS else needs(_words(arguments[1]))
        marked = {mark.name for mark in self._item.iter_markers()}
        self.unmarked |= found - marked - (INCIDENTAL if marked.intersection(MARKERS) else set())


def _words(command: object) -> list[str]:
    """Returns the words of a command in any form that subprocess.Popen accepts."""
    if isinstance(command, str | bytes):
        return os.fsdecode(command).split()
    return [os.fsdecode(each) for each in command] if isinstance(command, Iterable) else []


def mark(item: pytest.Item, root: Path) -> None:
    """Adds the markers of the test's folder, and of the helpers that it names. `root` is tests/."""
    found = folder_markers(item.path.relative_to(root))
    fixtures = (
        chain.from_iterable(item._fixtureinfo.name2fixturedefs.values())
        if isinstance(item, pytest.Function)
        else ()
    )
    for function in (getattr(item, "function", None), *(each.func for each in fixtures)):
        found |= {HELPERS[name] for name in _names(function) & HELPERS.keys()}
    for name in sorted(found):
        item.add_marker(name)


def helper_markers(function: Callable[..., object]) -> set[str]:
    """Returns the markers of the helpers that a test or a fixture names."""
    return {HELPERS[name] for name in _names(function) & HELPERS.keys()}


@functools.cache
def _names(function: Callable[..., object]) -> frozenset[str]:
    """Returns the global names in a function's code, and in functions of the same module that it calls."""
    found: set[str] = set()
    waiting = [function]
    while waiting:
        code = getattr(each := inspect.unwrap(waiting.pop()), "__code__", None)
        names = _names_of(code) - found if code is not None else frozenset()
        found |= names
        known = getattr(each, "__globals__", {})
        called = (known[name] for name in names if name in known)
        waiting += [one for one in called if getattr(one, "__module__", "") == each.__module__ and callable(one)]
    return frozenset(found)


def _names_of(code: CodeType) -> frozenset[str]:
    inner = (_names_of(each) for each in code.co_consts if isinstance(each, CodeType))
    return frozenset(code.co_names).union(*inner)


def folder_markers(path: PurePath) -> set[str]:
    """Returns the markers of every test at `path`, relative to tests/."""
    return {name for folder, names in FOLDERS.items() if path.is_relative_to(folder) for name in names}


def excludes(expression: str, markers: set[str]) -> bool:
    """Returns whether pytest's `-m EXPRESSION` selects no test with these markers, alone or with others of ours.

    Importing the module of such a test would waste time. False if the expression has a marker that is not ours.
    """
    compiled = Expression.compile(expression)
    others = [name for name in MARKERS if name not in markers]
    strange: list[str] = []

    def selects(having: set[str]) -> bool:
        def matches(name: str, /, **_: object) -> bool:
            if name not in MARKERS:
                strange.append(name)
            return name in having

        return compiled.evaluate(matches)

    choices = chain.from_iterable(combinations(others, size) for size in range(len(others) + 1))
    return not any(selects(markers | set(more)) for more in choices) and not strange


guard = Guard()
sys.addaudithook(guard.hear)
