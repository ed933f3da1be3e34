"""Bounds one client's use of the event loop that it shares with all others."""

from __future__ import annotations


class WorkBudget:
    """A budget of `burst` seconds of work that refills at `part` seconds per second."""

    def __init__(self, *, part: float = 0.2, burst: float = 2.0) -> None:
        self._part = part
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def spend(self, work: float, now: float) -> float:
        """Charges `work` seconds of processor time for a request; returns the seconds that the next request should
        wait.

        `now` is in monotonic seconds.
        """
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._part)
        self._at = now
        self._left -= work
        return max(0.0, -self._left / self._part)
