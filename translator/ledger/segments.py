"""Append-only files that are rotated: `NAME.log` is being written, `NAME.<n>.log` are complete, lowest first.

A position is (number of the file, byte offset). It stays valid when the file is renamed, because the number of the
file being written is the one that it will be renamed to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Position(NamedTuple):
    """Ordered as the bytes were written."""

    file: int
    offset: int


START = Position(1, 0)


class Segments:
    """The files of one name in one directory.

    `known` are positions from before: without a rotated file they alone say which number the current file has. A
    file is only removed once every stored position is beyond it, so they are never lower than what is there.
    """

    def __init__(self, directory: Path, name: str, known: Iterable[Position] = ()) -> None:
        self._directory = directory
        self._name = name
        self._pattern = re.compile(rf"{re.escape(name)}\.([1-9][0-9]*)\.log")
        rotated = self.rotated()
        self.number = rotated[-1] + 1 if rotated else max((each.file for each in known), default=START.file)

    @property
    def current(self) -> Path:
        """The file being written; may not exist yet."""
        return self._directory / f"{self._name}.log"

    @property
    def first(self) -> int:
        """The lowest number there is."""
        return next(iter(self.rotated()), self.number)

    def path(self, number: int) -> Path:
        return self.current if number >= self.number else self._directory / f"{self._name}.{number}.log"

    def rotated(self) -> list[int]:
        """Numbers of the complete files, ascending."""
        names = (self._pattern.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def rotate(self) -> None:
        """Completes the current file. Raises OSError, and then nothing has changed."""
        self.current.rename(self._directory / f"{self._name}.{self.number}.log")
        self.number += 1

    def remove_before(self, number: int) -> int:
        """Deletes complete files below `number`; how many. Raises OSError."""
        gone = [each for each in self.rotated() if each < number]
        for each in gone:
            self.path(each).unlink(missing_ok=True)
        return len(gone)
