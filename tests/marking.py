"""Marks each test with what it needs beside Python, and fails a test that starts a program without its marker.

A test gets its markers from the folder it is in, the fixtures it requests, and `pytest.mark` on itself, its
parameter or its module (`pytestmark`). The guard hears of each program that a test's process starts; a test
without the marker fails. So `make quick`, which selects the tests without markers, starts none of these programs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from itertools import chain, combinations
from pathlib import Path, PurePath

import pytest
from _pytest.mark.expression import Expression

#: As pyproject.toml registers them.
MARKERS = ("envoy", "postgres", "redis", "browser", "compiler", "packages", "network", "processes")

#: Tests in these folders of tests/ always need these.
FOLDERS = {
    "clients": {"envoy", "packages"},
    "console": {"envoy"},
    "envoy": {"compiler"},
    "gateway": {"envoy"},
    "integration/nodes": {"envoy"},
}

#: Requesting one of these fixtures, also through another fixture, needs this.
FIXTURES = {"browser": "browser", "llama": "processes", "postgres_url": "postgres"}

#: Any marker permits these: what a test with Envoy compiles, or starts beside it, goes without saying.
_INCIDENTAL = {"compiler", "packages", "processes"}

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
    """The markers of a test that runs `command`: `processes` for a program that PROGRAMS does not name."""
    names = [PurePath(each).name for each in command[:4]]
    found = {PROGRAMS[name] for name in names[:1] + _module(names)[:1] if name in PROGRAMS}
    if any(_module(names)[: len(started)] == list(started) for started in _STARTING_ENVOY):
        found.add("envoy")
    return found or {"processes"}


def _module(names: list[str]) -> list[str]:
    """The module that Python runs, and its arguments."""
    return names[names.index("-m") + 1 :] if "-m" in names else []


class Guard:
    """What the running test has started that it is not marked with."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self.unmarked: set[str] = set()

    def watch(self, item: pytest.Item | None) -> None:
        self._item = item
        self.unmarked = set()

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook, see sys.addaudithook."""
        if self._item is None or event not in {"subprocess.Popen", NEEDS}:
            return
        found = {str(arguments[0])} if event == NEEDS else needs(_words(arguments[1]))
        marked = {mark.name for mark in self._item.iter_markers()}
        self.unmarked |= found - marked - (_INCIDENTAL if marked.intersection(MARKERS) else set())


def _words(command: object) -> list[str]:
    """A command as subprocess.Popen takes it."""
    if isinstance(command, str | bytes):
        return os.fsdecode(command).split()
    return [os.fsdecode(each) for each in command] if isinstance(command, Iterable) else []


def mark(item: pytest.Item, root: Path) -> None:
    """Adds the markers of the test's folder and fixtures. `root` is tests/."""
    found = folder_markers(item.path.relative_to(root))
    found |= {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}
    for name in sorted(found):
        item.add_marker(name)


def folder_markers(path: PurePath) -> set[str]:
    """What every test at `path`, relative to tests/, has."""
    return {name for folder, names in FOLDERS.items() if path.is_relative_to(folder) for name in names}


def excludes(expression: str, markers: set[str]) -> bool:
    """Whether pytest's `-m EXPRESSION` selects no test that has these markers, alone or with others of ours.

    Importing the module of such a test is wasted time. False if the expression has a marker that is not ours.
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
