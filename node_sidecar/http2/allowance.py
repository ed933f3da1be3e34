"""Counts frames that cost their receiver more than their sender."""

from __future__ import annotations


class Allowance:
    """A token bucket: `count` frames in any `period` seconds, refilled evenly."""

    __slots__ = ("_count", "_left", "_per_second", "_seen")

    def __init__(self, count: int, period: float) -> None:
        self._count = count
        self._left = float(count)
        self._per_second = count / period
        self._seen = 0.0

    def spend(self, now: float) -> bool:
        """Spends one frame at `now` (seconds, monotonic); returns False if none is left."""
        self._left = min(self._count, self._left + (now - self._seen) * self._per_second) - 1
        self._seen = now
        return self._left >= 0
