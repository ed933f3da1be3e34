"""Alerts: which shares of its amount a limit has reached in its window. Each is told once in a window.

Requests and concurrent requests are judged when they are reserved, tokens and cost when they are settled, so that
a reservation that turns out too large alarms nobody. A limit that refuses a request has reached all of its amount.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from translator.limits.counters import Counter
from translator.limits.limit import Each, Holder, Limit, Metric

#: Alerts that wait to be taken, and counters whose shares are remembered.
_MOST_PENDING, _MOST_REMEMBERED = 1_000, 100_000
_WHOLE = 1_000
_JUDGED_EARLY = frozenset({Metric.REQUESTS, Metric.CONCURRENCY})


class Alert(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The limit has `taken` of its `amount`, which is `share` per mille or more. `reached_at` and `until`, the end
    of its window, are Unix seconds. The rest is as in `Limit`.
    """

    metric: int
    window: str
    amount: int
    holder: Holder
    holder_id: str
    holder_name: str
    model: str
    each: Each
    soft: bool
    value: str | None
    share: int
    taken: int
    refused: bool
    reached_at: int
    until: int


class _Reached(msgspec.Struct, gc=False, array_like=True):
    """The highest share in a window that lasts `until`, of a limit of this amount."""

    amount: int
    until: float
    share: int


class Alerts:
    """What was reached, and the alerts that nobody has taken yet. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: By the ids of counters.
        self._reached: dict[str, _Reached] = {}
        self._pending: deque[Alert] = deque()
        #: Called with every alert.
        self.on_alert: Callable[[Alert], object] | None = None
        #: Alerts by the holder of their limit, and those that there was no room for.
        self.raised: dict[str, int] = dict.fromkeys(("organisation", "key", "route"), 0)
        self.dropped = 0

    def __bool__(self) -> bool:
        """Whether there is something to be stored."""
        return bool(self._reached or self._pending)

    @property
    def pending(self) -> Sequence[Alert]:
        """Those that nobody has taken, oldest first."""
        return tuple(self._pending)

    def taken(self, alerts: Sequence[Alert]) -> None:
        """Forgets alerts that `pending` gave: somebody else answers for them now."""
        for each in alerts:
            if self._pending and self._pending[0] == each:
                self._pending.popleft()

    def reserved(self, limit: Limit, found: Counter) -> None:
        """Judges a limit in which something was reserved."""
        if limit.metric in _JUDGED_EARLY:
            self._judge(limit, found)

    def settled(self, limit: Limit, found: Counter) -> None:
        """Judges a limit in which something was settled."""
        if limit.metric not in _JUDGED_EARLY:
            self._judge(limit, found)

    def refused(self, limit: Limit, found: Counter) -> None:
        """Takes in that a limit has refused a request."""
        self._judge(limit, found, refused=True)

    def state(self) -> dict[str, Any]:
        """As JSON values, for `load`."""
        at = self._clock()
        return {
            "reached": {
                name: msgspec.structs.astuple(each) for name, each in self._reached.items() if each.until > at
            },
            "pending": [msgspec.structs.astuple(each) for each in self._pending],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError."""
        try:
            self._reached = msgspec.convert(state.get("reached", {}), dict[str, _Reached])
            self._pending = deque(msgspec.convert(state.get("pending", ()), list[Alert]))
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None

    def _judge(self, limit: Limit, found: Counter, *, refused: bool = False) -> None:
        reached = [
            share
            for share in limit.alerts
            if found.total * _WHOLE >= share * limit.amount or (refused and share <= _WHOLE)
        ]
        if not reached:
            return
        at = self._clock()
        until = found.lasts_until(at)
        known = self._reached.get(limit.id)
        below = 0
        if known is not None and known.amount == limit.amount and (at < known.until or until <= known.until):
            below, until = known.share, known.until
            if reached[-1] <= below:
                return
        elif known is None and len(self._reached) >= _MOST_REMEMBERED:
            self._forget(at)
        self._reached[limit.id] = _Reached(limit.amount, until, reached[-1])
        for share in reached:
            if share > below:
                self._raise(limit, found, share, at, until, refused=refused)

    def _raise(self, limit: Limit, found: Counter, share: int, at: float, until: float, *, refused: bool) -> None:
        alert = Alert(
            limit.metric.value,
            limit.window,
            limit.amount,
            limit.holder,
            limit.holder_id,
            limit.holder_name,
            limit.model,
            limit.each,
            limit.soft,
            limit.value,
            share,
            found.total,
            refused,
            int(at),
            int(until),
        )
        self.raised[limit.holder] += 1
        if len(self._pending) >= _MOST_PENDING:
            self._pending.popleft()
            self.dropped += 1
        self._pending.append(alert)
        if self.on_alert is not None:
            self.on_alert(alert)

    def _forget(self, at: float) -> None:
        """Drops those whose windows have ended; where none has, the one that was reached first."""
        self._reached = {name: each for name, each in self._reached.items() if each.until > at}
        if len(self._reached) >= _MOST_REMEMBERED:
            del self._reached[next(iter(self._reached))]
