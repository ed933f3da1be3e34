"""Measures how fast places become free while requests wait."""

from __future__ import annotations

#: The estimate's memory, in places: each new one reduces the weight of all earlier ones.
_MEMORY = 64
_FADING = 1 - 1 / _MEMORY


class PlaceRate:
    """Places per second, measured only while requests wait: an idle hour says nothing about the next wait.

    Older places fade by the number of places since then rather than by time. So a route whose requests take
    seconds and one whose requests take minutes are measured equally well. Times are seconds of one clock.
    """

    __slots__ = ("_places", "_seconds", "_since")

    def __init__(self) -> None:
        self._places = 0.0
        self._seconds = 0.0
        #: When the last place was given or the wait began; None while no request waits.
        self._since: float | None = None

    def begin(self, at: float) -> None:
        """Called when the first request begins to wait."""
        self._since = at

    def served(self, at: float) -> None:
        """Called when a waiting request gets a place."""
        self._seconds = self._seconds * _FADING + self._elapsed(at)
        self._places = self._places * _FADING + 1
        self._since = at

    def end(self, at: float) -> None:
        """Called when no request waits any more."""
        self._seconds += self._elapsed(at)
        self._since = None

    def per_second(self, at: float) -> float | None:
        """Returns places per second; None while no place has been given yet."""
        if not self._places:
            return None
        seconds = self._seconds + self._elapsed(at)
        return self._places / seconds if seconds > 0 else None

    def _elapsed(self, at: float) -> float:
        return max(0.0, at - self._since) if self._since is not None else 0.0
