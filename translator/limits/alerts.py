"""Alerts: the shares of its amount that a limit has reached in its window. Each is raised once per window.

Requests and concurrent requests are checked when they are reserved, tokens and cost when they are settled, so a
reservation that turns out too large raises no alert. A limit that refuses a request has reached its whole amount.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from translator.limits.counters import Counter
from translator.limits.limit import Each, HolderKind, HolderLimit, Metric

#: Most alerts that wait for the control plane, and most counters whose shares are remembered.
_MAX_PENDING, _MAX_REMEMBERED = 1_000, 100_000
_WHOLE = 1_000
_JUDGED_EARLY = frozenset({Metric.REQUESTS, Metric.CONCURRENCY})


class Alert(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`taken` of the limit's `amount` is in use, which is at least `share` per mille. `reached_at` and `until`,
    the end of the window, are Unix seconds. The other fields are as in `HolderLimit`.
    """

    metric: int
    window: str
    amount: int
    holder: HolderKind
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
    """The highest share that was reached in a window that lasts until `until`, of a limit of this amount."""

    amount: int
    until: float
    share: int


class Alerts:
    """The reached shares, and the alerts that wait for the control plane. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        #: The reached shares, by the counters' ids.
        self._reached: dict[str, _Reached] = {}
        self._pending: deque[Alert] = deque()
        #: Called with every alert.
        self.on_alert: Callable[[Alert], object] | None = None
        #: Alerts that were raised, by the holder of the limit, and alerts that were dropped for lack of room.
        self.raised: dict[str, int] = dict.fromkeys(("organisation", "key", "route"), 0)
        self.dropped = 0

    def __bool__(self) -> bool:
        """True if there is something to store."""
        return bool(self._reached or self._pending)

    @property
    def pending(self) -> Sequence[Alert]:
        """The alerts that wait for the control plane, oldest first."""
        return tuple(self._pending)

    def taken(self, alerts: Sequence[Alert]) -> None:
        """Forgets alerts from `pending`, which the control plane has accepted."""
        for each in alerts:
            if self._pending and self._pending[0] == each:
                self._pending.popleft()

    def reserved(self, limit: HolderLimit, found: Counter) -> None:
        """Checks a limit in which something was reserved."""
        if limit.metric in _JUDGED_EARLY:
            self._judge(limit, found)

    def settled(self, limit: HolderLimit, found: Counter) -> None:
        """Checks a limit in which something was settled."""
        if limit.metric not in _JUDGED_EARLY:
            self._judge(limit, found)

    def refused(self, limit: HolderLimit, found: Counter) -> None:
        """Notes that a limit refused a request."""
        self._judge(limit, found, refused=True)

    def state(self) -> dict[str, Any]:
        """Returns the state as JSON values, for `load`."""
        at = self._clock()
        return {
            "reached": {
                name: msgspec.structs.astuple(each) for name, each in self._reached.items() if each.until > at
            },
            "pending": [msgspec.structs.astuple(each) for each in self._pending],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Replaces the state. Raises ValueError."""
        try:
            self._reached = msgspec.convert(state.get("reached", {}), dict[str, _Reached])
            self._pending = deque(msgspec.convert(state.get("pending", ()), list[Alert]))
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None

    def _judge(self, limit: HolderLimit, found: Counter, *, refused: bool = False) -> None:
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
        elif known is None and len(self._reached) >= _MAX_REMEMBERED:
            self._forget(at)
        self._reached[limit.id] = _Reached(limit.amount, until, reached[-1])
        for share in reached:
            if share > below:
                self._raise(limit, found, share, at, until, refused=refused)

    def _raise(
        self, limit: HolderLimit, found: Counter, share: int, at: float, until: float, *, refused: bool
    ) -> None:
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
        if len(self._pending) >= _MAX_PENDING:
            self._pending.popleft()
            self.dropped += 1
        self._pending.append(alert)
        if self.on_alert is not None:
            self.on_alert(alert)

    def _forget(self, at: float) -> None:
        """Drops the shares whose windows have ended; if there are none, the one that was reached first."""
        self._reached = {name: each for name, each in self._reached.items() if each.until > at}
        if len(self._reached) >= _MAX_REMEMBERED:
            del self._reached[next(iter(self._reached))]
