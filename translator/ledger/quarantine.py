"""Records that the control plane neither takes nor keeps, in a file: nothing is lost, and nobody waits."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from structlog.typing import FilteringBoundLogger

NAME = "refused.jsonl"
#: Bytes of the file. What comes afterwards is counted and told, and not kept.
MOST = 16 * 1024 * 1024


class Quarantine:
    """One JSON object a line: `at` (Unix seconds), `reason`, and what it is about. Readable by its owner alone."""

    def __init__(self, directory: Path, log: FilteringBoundLogger) -> None:
        self._path = directory / NAME
        self._log = log
        #: What there was no room for, or could not be written.
        self.lost = 0

    def add(self, reason: str, **what: Mapping[str, Any] | str) -> None:
        """Appends; a disk that does not take it is told of."""
        line = orjson.dumps({"at": int(time.time()), "reason": reason, **what}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            self._append(line)
        except OSError as error:
            self.lost += 1
            self._log.error("what the control plane refused is not kept", reason=error.strerror)

    def _append(self, line: bytes) -> None:
        """Raises OSError."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(line) > MOST:
                self.lost += 1
                self._log.error("what the control plane refused is not kept", reason=f"{NAME} is full")
                return
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
