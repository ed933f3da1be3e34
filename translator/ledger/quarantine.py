"""Keeps records that the control plane refuses in a file: nothing is lost, and nothing waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from structlog.typing import FilteringBoundLogger

NAME = "refused.jsonl"
#: Most bytes of the file. Further records are counted and logged, but not stored.
MAX = 16 * 1024 * 1024


class Quarantine:
    """A file of one JSON object a line: `at` (Unix seconds), `reason`, and the record or line. Only its owner may
    read it.
    """

    def __init__(self, directory: Path, log: FilteringBoundLogger) -> None:
        self._path = directory / NAME
        self._log = log
        #: Records that could not be written, or for which there was no room.
        self.lost = 0

    def add(self, reason: str, **what: Mapping[str, Any] | str) -> None:
        """Appends an entry; logs an error if the disk does not accept it."""
        line = orjson.dumps({"at": int(time.time()), "reason": reason, **what}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self._append(line)
        except OSError as error:
            self.lost += 1
            self._log.error("refused usage records cannot be kept", reason=error.strerror)

    def _append(self, line: bytes) -> None:
        """Appends a line. Raises OSError."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(line) > MAX:
                self.lost += 1
                self._log.error("refused usage records cannot be kept", reason=f"{NAME} is full")
                return
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
