"""Reads complete lines of the access log from a position on, across rotated files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from translator.ledger.segments import LogPosition, Segments

#: Most bytes of a line, which usually has some 700.
_LONGEST_LINE = 1024 * 1024
#: Seconds for which a renamed file is read after its successor appeared, for a writer that still had it open.
_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Lines:
    """`lines` without their line ends; `skipped` bytes did not form lines; `end` is where the next read begins."""

    start: LogPosition
    lines: list[bytes]
    end: LogPosition
    skipped: int = 0


class LogReader:
    """Reads the log. `clock` gives seconds that never go back."""

    def __init__(
        self, segments: Segments, position: LogPosition, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._segments = segments
        self._clock = clock
        self._descriptor: int | None = None
        self._ended_at: float | None = None
        self.position = position

    @property
    def is_last(self) -> bool:
        """True if no file follows the current one."""
        number = self.position.file
        return number >= self._segments.number or not self._segments.path(number + 1).exists()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def seek(self, position: LogPosition) -> None:
        """Sets the position of the next read."""
        if position.file != self.position.file:
            self.close()
        if position != self.position:
            self.position, self._ended_at = position, None

    def read(self, most: int) -> Lines:
        """Returns complete lines of about `most` bytes; none at the end of what is written. Raises OSError."""
        start = self.position
        if self._descriptor is None:
            first = self._segments.first
            if start.file < first:
                return self._go(LogPosition(first, 0), 0)  # another process deleted it
            if not self._open():
                return Lines(start, [], start)
        assert self._descriptor is not None  # noqa: S101 - opened above
        data = os.pread(self._descriptor, most, start.offset)
        whole = data.rfind(b"\n") + 1
        if not whole:
            return self._without_newline(data, most)
        self._ended_at = None
        self.position = LogPosition(start.file, start.offset + whole)
        return Lines(start, data[: whole - 1].split(b"\n"), self.position)

    def _without_newline(self, data: bytes, most: int) -> Lines:
        start = self.position
        if len(data) == most:
            if most < _LONGEST_LINE:
                return self.read(_LONGEST_LINE)
            return self._skip(len(data))
        if not data and self._was_truncated():
            return self._go(LogPosition(start.file, 0), 0)
        if start.file < self._segments.number and self._is_complete():
            # A last line without its end will never be completed.
            return self._go(LogPosition(start.file + 1, 0), len(data))
        return Lines(start, [], start)

    def _skip(self, length: int) -> Lines:
        start = self.position
        return self._go(LogPosition(start.file, start.offset + length), length)

    def _go(self, position: LogPosition, skipped: int) -> Lines:
        start = self.position
        self.seek(position)
        return Lines(start, [], position, skipped)

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self._segments.path(self.position.file), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _was_truncated(self) -> bool:
        """Returns whether another process truncated the file, which this one never does."""
        assert self._descriptor is not None  # noqa: S101 - open while it is read
        return os.fstat(self._descriptor).st_size < self.position.offset

    def _is_complete(self) -> bool:
        """Returns whether the successor has existed for long enough. Envoy closes the old file before it opens the
        new one.
        """
        if self.position.file + 1 < self._segments.number:
            return True
        if not self._segments.current.exists():
            return False
        if self._ended_at is None:
            self._ended_at = self._clock()
        return self._clock() - self._ended_at >= _GRACE
