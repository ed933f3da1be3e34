"""Checks whether a database's path still leads to the file that was opened.

SQLite keeps using an open file that was deleted or replaced: reads look fine, and everything written is lost with
the last process that holds the file.
"""

from __future__ import annotations

import os
from pathlib import Path

from xds_server.errors import DatabaseReplacedError
from xds_server.reasons import Reason


class SameFile:
    """Remembers the file at `path`, which may not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = _identity(path)

    def require(self) -> None:
        """Raises DatabaseReplacedError, which says what happened and what to do."""
        found = _identity(self._path)
        if self._opened is None:
            self._opened = found
        if found == self._opened:
            return
        what = "deleted" if found is None else "replaced"
        raise DatabaseReplacedError(Reason.of(f"trouble.database_{what}", self._path))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every read
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
