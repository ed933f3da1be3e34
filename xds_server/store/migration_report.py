"""Reports the progress of migrations at startup, to the log and to a file, which `trunkline up` shows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

#: Seconds between two reports about one step.
_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """Step `number` (from 1) of `total` runs, and `share` (0 to 1) of it is done. `title` is what it does."""

    number: int
    total: int
    title: str
    share: float = 0.0


#: Receives each step that begins or advances; None: everything is migrated, or has failed.
Report = Callable[[MigrationStep | None], object]


class MigrationReport:
    """`file` exists while migrations run, and holds the step as JSON; None: only the log has it."""

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._number = 0
        self._reported = 0.0

    def __call__(self, step: MigrationStep | None) -> None:
        """Takes a report: the current step, or None at the end."""
        if step is None:
            self._write(None)
            return
        is_new = step.number != self._number
        if not is_new and self._clock() - self._reported < _EVERY:
            return
        self._number, self._reported = step.number, self._clock()
        if is_new:
            _log.info("migrating the database", step=step.number, of=step.total, does=step.title)
        else:
            _log.info("migrating the database", step=step.number, of=step.total, percent=round(100 * step.share))
        self._write(step)

    def _write(self, step: MigrationStep | None) -> None:
        """Replaces the file atomically, so that nobody reads half of it. A failure to write stops nothing."""
        if self._file is None:
            return
        with suppress(OSError):
            if step is None:
                self._file.unlink(missing_ok=True)
                return
            part = self._file.with_suffix(".part")
            part.write_text(json.dumps(asdict(step)))
            part.replace(self._file)
