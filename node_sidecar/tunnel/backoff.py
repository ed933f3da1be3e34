"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Doubles from `first` to `longest` seconds, each time shortened at random by up to half.

    Without the jitter, all nodes of a gateway that comes back would knock at the same moments.
    """

    def __init__(
        self, first: float = 0.1, longest: float = 5.0, *, random: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._random = random
        self._next = first

    def seconds(self) -> float:
        """The next wait."""
        wait = self._next
        self._next = min(self._longest, wait * 2)
        return wait * (1 - self._random() / 2)

    def reset(self) -> None:
        """After a success: begins anew."""
        self._next = self._first
