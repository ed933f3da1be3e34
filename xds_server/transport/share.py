"""What one client may use of the event loop that it shares with all others."""

from __future__ import annotations


class Share:
    """A budget of `burst` seconds of work that fills at `part` seconds per second. Times are monotonic seconds."""

    def __init__(self, *, part: float = 0.2, burst: float = 2.0) -> None:
        self._part = part
        self._burst = burst
        self._left = burst
        self._at: float | None = None

    def spend(self, began: float, ended: float) -> float:
        """Work was done for a client; returns the seconds that its next request should wait."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (began - self._at) * self._part)
        self._at = ended
        self._left -= ended - began
        return max(0.0, -self._left / self._part)
