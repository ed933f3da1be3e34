"""Watches the free space of the ledger's disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from structlog.typing import FilteringBoundLogger


class DiskState(Enum):
    """At `LOW`, the state is logged. At `FULL`, or if the disk does not answer, reservations are no longer
    journalled.
    """

    OK = "ok"
    LOW = "low"
    FULL = "full"


class DiskWatch:
    """Watches the disk. The thresholds are bytes of free space for an unprivileged user."""

    def __init__(
        self,
        directory: Path,
        low: int,
        full: int,
        log: FilteringBoundLogger,
        statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
    ) -> None:
        self._directory = directory
        self._low = low
        self._full = full
        self._log = log
        self._statvfs = statvfs
        self.free = 0
        self.state = DiskState.OK

    def look(self) -> DiskState:
        """Measures the free space; logs a change of the state once."""
        before = self.state
        try:
            found = self._statvfs(self._directory)
            self.free = found.f_bavail * found.f_frsize
            self.state = self._judge()
        except OSError as error:
            self.free, self.state = 0, DiskState.FULL
            if before is not DiskState.FULL:
                self._log.error("the ledger's disk does not answer", reason=error.strerror)
            return self.state
        if self.state is not before:
            log = self._log.info if self.state is DiskState.OK else self._log.error
            log("disk space of the ledger", state=self.state.value, free_bytes=self.free)
        return self.state

    def _judge(self) -> DiskState:
        if self.free < self._full:
            return DiskState.FULL
        return DiskState.LOW if self.free < self._low else DiskState.OK
