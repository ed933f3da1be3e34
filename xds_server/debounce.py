"""Merges bursts of changes: acts when it has been quiet, but never much later than the first change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Debounce:
    """Calls `action` `quiet` seconds after the last `trigger`, and at most `longest` seconds after the first."""

    def __init__(self, action: Callable[[], None], *, quiet: float = 0.020, longest: float = 0.200) -> None:
        self._action = action
        self._quiet = quiet
        self._longest = longest
        self._deadline = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def trigger(self) -> None:
        """Records a change. Needs a running event loop."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._timer is None:
            self._deadline = now + self._longest
        self._due = min(now + self._quiet, self._deadline)
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._fire)

    def cancel(self) -> None:
        """Discards the changes recorded so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        loop = asyncio.get_running_loop()
        # One timer serves a burst: it is extended when it fires, rather than with every trigger.
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._fire)
            return
        self._timer = None
        self._action()
