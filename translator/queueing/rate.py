"""How fast places become free while somebody waits for one."""

from __future__ import annotations

#: Places that the estimate remembers, about: each new one makes all earlier ones count a little less.
_MEMORY = 64
_FADING = 1 - 1 / _MEMORY


class PlaceRate:
    """Places per second, counted only while somebody waits: an idle hour says nothing about the next wait.

    Older places fade by the number of places since, not by time, so that a route that takes seconds for a request
    and one that takes minutes are known equally well. Times are seconds of one clock.
    """

    __slots__ = ("_places", "_seconds", "_since")

    def __init__(self) -> None:
        self._places = 0.0
        self._seconds = 0.0
        #: When the last place was given or the wait began; None while nobody waits.
        self._since: float | None = None

    def begin(self, at: float) -> None:
        """The first request begins to wait."""
        self._since = at

    def served(self, at: float) -> None:
        """A waiting request got a place."""
        self._seconds = self._seconds * _FADING + self._elapsed(at)
        self._places = self._places * _FADING + 1
        self._since = at

    def end(self, at: float) -> None:
        """Nobody waits any more."""
        self._seconds += self._elapsed(at)
        self._since = None

    def per_second(self, at: float) -> float | None:
        """None while no place has been given yet."""
        if not self._places:
            return None
        seconds = self._seconds + self._elapsed(at)
        return self._places / seconds if seconds > 0 else None

    def _elapsed(self, at: float) -> float:
        return max(0.0, at - self._since) if self._since is not None else 0.0
