"""Limits how often something may happen, without a clock."""

from __future__ import annotations


class RateLimit:
    """A bucket of `burst` tokens that refills at `per_second`. Times are monotonic seconds."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._depth = burst / per_second
        self._full_at = float("-inf")

    def wait(self, now: float) -> float:
        """Returns the seconds until there is a token; 0: there is one."""
        return max(0.0, self._full_at - now - self._depth + self._interval)

    def take(self, now: float) -> None:
        """Takes one token, even from an empty bucket: then it is owed."""
        self._full_at = max(self._full_at, now) + self._interval
