"""A type of flags for points in time: how long ago, a date, or a date and time."""

from __future__ import annotations

import datetime
import time
from typing import Any

import click

from trunkline.config import units


class Timestamp(click.ParamType[int]):
    """Parses `24h` or `7d` ago, `2026-11-01` or `2026-11-01T12:00:00+01:00` (default UTC) into Unix seconds."""

    name = "timestamp"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return max(0, int(time.time()) - units.seconds(value))
        except ValueError:
            pass
        try:
            parsed = datetime.datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: expected 24h or 7d (ago), 2026-11-01 or 2026-11-01T12:00:00Z", param, ctx)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=datetime.UTC)
        return max(0, int(parsed.timestamp()))
