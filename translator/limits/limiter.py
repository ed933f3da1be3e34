"""Authorise → reserve → settle, for all limits at once and in memory.

The rule: a request is let through if and only if, for every limit that applies to it, what was used in the limit's
window, plus what is reserved in it, plus this request's reservation is at most the limit's amount. So the requests
that are let through can exceed a limit only by what they use beyond their own reservations; a reservation is the
estimated prompt plus the largest output that the request allows.

A limit counts what is reserved while it exists: one that is new, or whose window was changed, starts with nothing.

Nothing here awaits, and there is one thread: what is checked together is reserved together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from translator.errors import LimitError
from translator.limits.counters import Bucket, Counter, counter
from translator.limits.limit import Limit, Metric
from translator.limits.reservation import Refused, Reservation, Standing, Subject, reservation_fields

#: Expired reservations that are remembered, for a line that comes after all.
REMEMBERED = 10_000
_FORMAT = 1
#: Counters that are looked at, whether they are still needed, for every new one.
_EXAMINED = 2
#: At one request: many are new after a restart.
_EXAMINED_AT_MOST = 32


class Limiter:
    """The counters of every limit and the outstanding reservations. Times are Unix seconds of one clock."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._examination: deque[str] = deque()
        #: New counters since `_forget_idle`.
        self._created = 0
        #: By request id, in the order in which they were reserved.
        self._held: dict[str, Reservation] = {}
        self._expired: dict[str, Reservation] = {}

    @property
    def outstanding(self) -> int:
        """Reservations that are neither settled nor expired."""
        return len(self._held)

    @property
    def counters(self) -> int:
        """Limits of which something is counted."""
        return len(self._counters)

    def held(self, request_id: str) -> Reservation | None:
        """The outstanding reservation of a request."""
        return self._held.get(request_id)

    def held_since(self, before: float) -> Iterator[Reservation]:
        """The outstanding reservations made before a moment, oldest first; do not change anything meanwhile."""
        for reservation in self._held.values():
            if reservation.at >= before:
                return
            yield reservation

    def reserve(
        self, request_id: str, limits: Sequence[Limit], tokens: int, cost: int, *, at: float, subject: Subject
    ) -> Reservation | Refused:
        """Takes one request, `tokens` and `cost` (micro-USD) from all `limits`, or nothing from any.

        A request that holds a reservation already keeps that one. Of several limits that refuse, the one that
        renews last is named.
        """
        held = self._held.get(request_id)
        if held is not None:
            return held
        needs = (1, tokens, cost, 1)
        known = self._counters
        counters = []
        refusing = False
        for limit in limits:
            found = known.get(limit.id) or self._new(limit.id)
            found.advance(at)
            if found.total + needs[limit.metric] > limit.amount:
                refusing = True
            counters.append(found)
        if refusing:
            if self._created:
                self._forget_idle(at)
            return _strictest(limits, counters, needs)
        places = tuple([(each, each.add(needs[each.metric])) for each in counters])
        ids = tuple([limit.id for limit in limits])
        reservation = Reservation(request_id, at, tokens, cost, subject, ids, places)
        self._held[request_id] = reservation
        if self._created:
            self._forget_idle(at)
        return reservation

    def replay_reserve(self, entry: Sequence[Any]) -> Reservation | None:
        """Reserves again, unchecked, what `Reservation.entry` tells; None if that is outstanding already.

        Raises:
            LimitError: it tells of no reservation.
        """
        try:
            request_id, at, tokens, cost, ids, subject = reservation_fields(entry)
        except (ValueError, TypeError):
            raise LimitError("an entry is not a reservation") from None
        if request_id in self._held:
            return None
        places = self._add_at(ids, tokens, cost, at)
        reservation = Reservation(request_id, at, tokens, cost, subject, ids, places)
        self._held[request_id] = reservation
        return reservation

    def settle(self, request_id: str, tokens: int, cost: int) -> Reservation | None:
        """Replaces the reserved amounts by those that were used, in the windows in which they were reserved, and
        ends the request's place among the concurrent ones. Also if it has expired.

        None, and nothing changes, if there is no such reservation: it was settled before, or never made here.
        """
        reservation = self._held.pop(request_id, None)
        if reservation is None:
            reservation = self._expired.pop(request_id, None)
            if reservation is None:
                return None
        else:
            _end(reservation)
        changes = (0, tokens - reservation.tokens, cost - reservation.cost, 0)
        for found, bucket in reservation.places:
            change = changes[found.metric]
            if change and bucket.live:
                bucket.amount += change
                found.total += change
        return reservation

    def settle_unknown(self, limits: Sequence[Limit], tokens: int, cost: int, at: float) -> None:
        """Counts a request whose reservation was lost, in the windows of the moment at which it began, as far as
        they still count. The caller sees to it that a request is counted once.
        """
        for found, _ in self._add_at([limit.id for limit in limits], tokens, cost, at):
            if found.metric is Metric.CONCURRENCY:
                found.total -= 1

    def expire(self, request_id: str) -> Reservation | None:
        """Takes what was reserved for used, and ends the request's place among the concurrent ones.

        None, and nothing changes, if the reservation is not outstanding.
        """
        reservation = self._held.pop(request_id, None)
        if reservation is not None:
            _end(reservation)
            self._expired[request_id] = reservation
            if len(self._expired) > REMEMBERED:
                del self._expired[next(iter(self._expired))]
        return reservation

    def standing(self, limits: Sequence[Limit], metric: Metric, at: float) -> Standing | None:
        """Of the limit of this metric of which least is left; None without one."""
        tightest: Standing | None = None
        for limit in limits:
            if limit.metric is metric:
                found = self._counters.get(limit.id)
                if found is None:
                    taken, resets = 0, at
                else:
                    found.advance(at)
                    taken, resets = found.total, found.renews(found.total) if found.total else at
                remaining = max(0, limit.amount - taken)
                if tightest is None or remaining < tightest.remaining:
                    tightest = Standing(limit.amount, remaining, resets)
        return tightest

    def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON values, for `restore`."""
        return {
            "format": _FORMAT,
            "counters": {name: found.state() for name, found in self._counters.items()},
            "held": [_dump(each) for each in self._held.values()],
            "expired": [_dump(each) for each in self._expired.values()],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replaces everything by what `snapshot` gave.

        Raises:
            LimitError: it is nothing of the kind, and nothing has changed.
        """
        restored = Limiter()
        try:
            if snapshot["format"] != _FORMAT:
                raise LimitError("the limits' state is of a format that this version does not know")
            for name, state in snapshot["counters"].items():
                restored._new(name).load(state)
            for dumped in snapshot["held"]:
                reservation = restored._load(dumped)
                restored._held[reservation.request_id] = reservation
                for found, _ in reservation.places:
                    if found.metric is Metric.CONCURRENCY:
                        found.total += 1
            for dumped in snapshot["expired"]:
                reservation = restored._load(dumped)
                restored._expired[reservation.request_id] = reservation
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            raise LimitError("the limits' state is damaged") from None
        self._counters, self._examination = restored._counters, restored._examination
        self._held, self._expired = restored._held, restored._expired

    def _add_at(self, ids: Sequence[str], tokens: int, cost: int, at: float) -> tuple[tuple[Counter, Bucket], ...]:
        amounts = (1, tokens, cost, 1)
        found = [self._counters.get(each) or self._new(each) for each in ids]
        return tuple([(each, each.add_at(at, amounts[each.metric])) for each in found])

    def _new(self, limit_id: str) -> Counter:
        created = self._counters[limit_id] = counter(limit_id)
        self._examination.append(limit_id)
        self._created += 1
        return created

    def _forget_idle(self, at: float) -> None:
        """Looks at some old counters for every new one, and drops those that nothing counts in any more: what is
        held stays bounded by what is in use, without ever looking at all of it.

        Not while a new one is made: it may be for a request that is about to count in one of the idle.
        """
        examined = min(_EXAMINED * self._created, len(self._examination), _EXAMINED_AT_MOST)
        self._created = max(0, self._created - _EXAMINED_AT_MOST // _EXAMINED)
        for _ in range(examined):
            name = self._examination.popleft()
            old = self._counters[name]
            old.advance(at)
            if old.idle:
                del self._counters[name]
            else:
                self._examination.append(name)

    def _load(self, dumped: Sequence[Any]) -> Reservation:
        entry, steps = dumped
        request_id, at, tokens, cost, ids, subject = reservation_fields(entry)
        counters = [self._counters.get(each) or self._new(each) for each in ids]
        places = tuple([(each, each.bucket(step)) for each, step in zip(counters, steps, strict=True)])
        return Reservation(request_id, at, tokens, cost, subject, ids, places)


def _dump(reservation: Reservation) -> list[Any]:
    return [reservation.entry(), [bucket.step for _, bucket in reservation.places]]


def _end(reservation: Reservation) -> None:
    """The request is no longer in flight."""
    for found, _ in reservation.places:
        if found.metric is Metric.CONCURRENCY:
            found.total -= 1


def _strictest(limits: Sequence[Limit], counters: Sequence[Counter], needs: Sequence[int]) -> Refused:
    """Of the limits that refuse, the one that renews last; one that never does comes first."""
    refused = []
    for limit, found in zip(limits, counters, strict=True):
        needed = needs[limit.metric]
        excess = found.total + needed - limit.amount
        if excess > 0:
            renews = None if needed > limit.amount else found.renews(excess)
            refused.append(Refused(limit, needed, found.total, renews))
    return max(refused, key=lambda each: float("inf") if each.renews is None else each.renews)
