"""The progress of the control plane's migrations, as it writes it to a file of the data directory."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_POLL_SECONDS = 0.25
#: Seconds between two lines about one step, if no terminal shows a bar.
_SAY_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Migration:
    """Step `number` (from 1) of `total`, of which `share` (0 to 1) is done. `title` is what it does."""

    number: int
    total: int
    title: str
    share: float

    def __str__(self) -> str:
        part = f", {self.share:.0%} of it done" if self.share else ""
        return f"step {self.number} of {self.total}{part}: {self.title}"

    @property
    def percent(self) -> int:
        """The total of all steps."""
        return int(100 * (self.number - 1 + self.share) / self.total)


def read(file: Path | None) -> Migration | None:
    """Returns what runs; None if nothing does."""
    if file is None:
        return None
    try:
        return Migration(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


async def show(file: Path, notice: Callable[[str], None]) -> None:
    """Shows the progress until it is cancelled: as a bar on a terminal, otherwise as lines by `notice`."""
    loop = asyncio.get_running_loop()
    bar: Any = None
    said, number = 0.0, 0
    try:
        while True:
            found = read(file)
            if found is not None and sys.stderr.isatty():
                if bar is None:
                    bar = click.progressbar(length=100, label="migrating the database", file=sys.stderr)
                bar.update(max(0, found.percent - bar.pos))
            elif found is not None and (found.number != number or loop.time() - said > _SAY_EVERY_SECONDS):
                said, number = loop.time(), found.number
                notice(f"migrating the database: {found}")
            elif found is None and bar is not None:
                _end(bar)
                bar = None
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        if bar is not None:
            _end(bar)


def _end(bar: Any) -> None:
    bar.update(100 - bar.pos)
    bar.render_finish()
