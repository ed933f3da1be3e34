"""The reservations on disk, written before Envoy has its answer: a killed translator still knows what it let
through.

One JSON array a line, without fsync. What is written survives a kill -9 of the process but not a power cut; then
Envoy's requests are gone too, and the control plane has everything up to the last acknowledged batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from structlog.typing import FilteringBoundLogger

from translator.ledger.segments import LogPosition, Segments

NAME = "reservations"
_encoded = partial(orjson.dumps, option=orjson.OPT_APPEND_NEWLINE)


class Journal:
    """Appends to the current file. A failed write is counted, logged once, and delays no request."""

    def __init__(self, directory: Path, known: LogPosition, log: FilteringBoundLogger) -> None:
        self._segments = Segments(directory, NAME, (known,))
        self._log = log
        self._gathered: list[bytes] = []
        #: Entries that could not be written.
        self.errors = 0
        self._failing = False
        #: Set while the disk is full: the remaining space is for Envoy's lines.
        self.suspended = False
        self._descriptor: int | None = None
        self._size = 0
        try:
            self._open()
        except OSError as error:
            self._fail(error)

    @property
    def position(self) -> LogPosition:
        """The position of the next write."""
        return LogPosition(self._segments.number, self._size)

    def append(self, entry: list[Any]) -> bool:
        """Writes an entry and everything gathered before it. Returns whether they are on disk."""
        self.gather(entry)
        return self.flush()

    def gather(self, entry: list[Any]) -> None:
        """Takes an entry for the next `flush`."""
        self._gathered.append(_encoded(entry))

    def flush(self) -> bool:
        """Writes everything gathered, in one write, so it is all or nothing. Returns whether it is on disk."""
        gathered = self._gathered
        if not gathered:
            return True
        self._gathered = []
        if self.suspended or not self._write(b"".join(gathered)):
            self.errors += len(gathered)
            return False
        return True

    def _write(self, lines: bytes) -> bool:
        """Returns whether all lines are on disk; otherwise none is."""
        try:
            descriptor = self._open() if self._descriptor is None else self._descriptor
            written = os.write(descriptor, lines)
            if written != len(lines):
                os.ftruncate(descriptor, self._size)
                raise OSError(f"wrote {written} of {len(lines)} bytes")  # noqa: TRY301 - logged in one place
        except OSError as error:
            self._fail(error)
            return False
        self._failing = False
        self._size += len(lines)
        return True

    def entries(self, since: LogPosition) -> Iterator[list[Any]]:
        """Yields the entries from `since` on; skips lines that are not entries."""
        for number in range(max(since.file, self._segments.first), self._segments.number + 1):
            try:
                content = self._segments.path(number).read_bytes()
            except FileNotFoundError:
                continue
            for line in content[since.offset if number == since.file else 0 :].splitlines():
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if type(entry) is list:
                    yield entry

    def rotate(self) -> None:
        """Begins a new file; `forget` deletes the old ones. Raises OSError."""
        self.flush()
        self._segments.rotate()
        self.close()
        self._size = 0

    def forget(self, before: int) -> None:
        """Deletes the files with lower numbers, which a stored snapshot has superseded. Raises OSError."""
        self._segments.remove_before(before)

    def close(self) -> None:
        """Writes what is buffered, and closes the file."""
        self.flush()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        """Opens the current file. Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._segments.current, flags, 0o600)
        # A last line without its end was never acted on, because the answer follows the write.
        content = self._segments.current.read_bytes()
        self._size = content.rfind(b"\n") + 1
        if self._size != len(content):
            os.ftruncate(self._descriptor, self._size)
        return self._descriptor

    def _fail(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            self._log.error("reservations are not journalled", reason=error.strerror or str(error))
