"""The delay before a crashed process is restarted."""

from __future__ import annotations

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 10.0
_HEALTHY_SECONDS = 60.0


class RestartBackoff:
    """Computes the delay before a restart: none after the first crash, then 0.5 s doubling to 10 s. A minute of
    health resets it.
    """

    def __init__(self) -> None:
        self._crashes = 0

    def delay(self, *, lived: float) -> float:
        """Returns the seconds to wait after a process that had run for `lived` seconds."""
        if lived >= _HEALTHY_SECONDS:
            self._crashes = 0
        self._crashes += 1
        if self._crashes == 1:
            return 0.0
        # The exponent is bounded so that a process that never comes up cannot overflow it.
        return min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._crashes - 2, 8))
