"""Exponential back-off with jitter."""

from __future__ import annotations

import random
from collections.abc import Callable


class ReconnectBackoff:
    """Delays that double from `first` to `longest` seconds, each shortened at random by up to half.

    Without jitter, all nodes would reconnect to a returning gateway at the same moments.
    """

    def __init__(
        self, first: float = 0.1, longest: float = 5.0, *, random: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._random = random
        self._next = first

    def seconds(self) -> float:
        """Returns the next delay."""
        wait = self._next
        self._next = min(self._longest, wait * 2)
        return wait * (1 - self._random() / 2)

    def reset(self) -> None:
        """Starts again from `first` after a success."""
        self._next = self._first
