"""Bounds the CPU time that a key may waste: refused requests count in no limit, but reading their bodies costs
CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from translator.errors import Refusal

#: Seconds of CPU that a key may spend at once.
_CAPACITY = 5.0
#: Seconds of CPU that a key gets back each second: a tenth of a core.
_REFILL = 0.1
#: Seconds of CPU that the worst body takes on the loop: the minimum, and for each byte.
_LEAST = 30e-6
_PER_BYTE = 200e-9
#: Most keys whose spending is remembered; those that spent least are forgotten first.
_MAX_KEYS = 10_000


def at_once(elapsed: float, size: int) -> float:
    """Returns the CPU seconds of a body of `size` bytes that was read on the loop: the elapsed seconds, but at
    most those of the worst body, because other work may have run meanwhile.
    """
    return min(elapsed, _LEAST + size * _PER_BYTE)


class RefusedWork:
    """Token buckets by key, in seconds of CPU. Times are seconds of one clock."""

    def __init__(self) -> None:
        #: The amount that a key had spent at a moment; full buckets are not stored.
        self._spent: dict[str, tuple[float, float]] = {}

    def check(self, key_id: str, clock: Callable[[], float]) -> None:
        """Raises Refusal (429) if the key has nothing left to spend."""
        if key_id not in self._spent:
            return
        excess = self._now(key_id, clock()) - _CAPACITY
        if excess >= 0:
            message = (
                "Too many requests of this API key were refused after their bodies had been read. "
                "Correct them, and try again later."
            )
            again = str(max(1, math.ceil(excess / _REFILL)))
            raise Refusal(
                429, "rate_limit_exceeded", message, kind="rate_limit_error", headers={"retry-after": again}
            )

    def charge(self, key_id: str, seconds: float, at: float) -> None:
        """Charges a key for a body whose request was refused."""
        self._spent[key_id] = (self._now(key_id, at) + seconds, at)
        if len(self._spent) > _MAX_KEYS:
            self._forget(at)

    def _now(self, key_id: str, at: float) -> float:
        spent, since = self._spent.get(key_id, (0.0, at))
        left = spent - max(0.0, at - since) * _REFILL
        if left <= 0:
            self._spent.pop(key_id, None)
            return 0.0
        return left

    def _forget(self, at: float) -> None:
        """Keeps the half of the keys that spent most."""
        for key_id in tuple(self._spent):
            self._now(key_id, at)
        ranked = sorted(self._spent.items(), key=lambda item: item[1][0], reverse=True)
        self._spent = dict(ranked[: _MAX_KEYS // 2])
