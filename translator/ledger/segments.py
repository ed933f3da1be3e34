"""Append-only files that are rotated: `NAME.log` is being written, `NAME.<n>.log` are complete, lowest first.

A position is (number of the file, byte offset). It stays valid when the file is renamed, because the number of the
file being written is the one that it will be renamed to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class LogPosition(NamedTuple):
    """A position, ordered as the bytes were written."""

    file: int
    offset: int


START = LogPosition(1, 0)


class Segments:
    """The files of one name in one directory.

    `known` are stored positions: without a rotated file they alone tell the number of the current file. A file is
    removed only after every stored position is past it, so the positions are never below the existing files.
    """

    def __init__(self, directory: Path, name: str, known: Iterable[LogPosition] = ()) -> None:
        self._directory = directory
        self._name = name
        self._pattern = re.compile(rf"{re.escape(name)}\.([1-9][0-9]*)\.log")
        rotated = self.rotated()
        self.number = rotated[-1] + 1 if rotated else max((each.file for each in known), default=START.file)

    @property
    def current(self) -> Path:
        """The file being written, which may not exist yet."""
        return self._directory / f"{self._name}.log"

    @property
    def first(self) -> int:
        """The lowest existing number."""
        return next(iter(self.rotated()), self.number)

    def path(self, number: int) -> Path:
        """Returns the file with this number; the current one if there is no such file yet."""
        return self.current if number >= self.number else self._directory / f"{self._name}.{number}.log"

    def rotated(self) -> list[int]:
        """Returns the numbers of the complete files, ascending."""
        names = (self._pattern.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in names if match)

    def rotate(self) -> None:
        """Completes the current file. Raises OSError; then nothing has changed."""
        self.current.rename(self._directory / f"{self._name}.{self.number}.log")
        self.number += 1

    def remove_before(self, number: int) -> int:
        """Deletes the complete files below `number`. Returns how many there were. Raises OSError."""
        gone = [each for each in self.rotated() if each < number]
        for each in gone:
            self.path(each).unlink(missing_ok=True)
        return len(gone)
