"""A point in time on both clocks: the core has no clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds: `monotonic` for durations, `unix` for what people and tables see."""

    monotonic: float
    unix: float


Clock = Callable[[], Moment]
