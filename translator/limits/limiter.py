"""Authorise → reserve → settle, for all limits at once and in memory.

The rule: a request is let through if and only if, for every limit that applies to it, what was used in the limit's
window, plus what is reserved in it, plus this request's reservation is at most the limit's amount. So the requests
that are let through can exceed a limit only by what they use beyond their own reservations; a reservation is the
estimated prompt plus the largest output that the request allows.

A soft limit counts like the others and refuses nothing. A limit for each end user or tag is one for every value,
see `values`.

A limit counts what is reserved while it exists: one that is new, or whose window was changed, starts with nothing.

Nothing here awaits, and there is one thread: what is checked together is reserved together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import Any

import msgspec

from translator.errors import LimitError
from translator.limits import legacy
from translator.limits.alerts import Alerts
from translator.limits.counters import Counter, counter
from translator.limits.limit import POOL, Applicable, Limit, Metric
from translator.limits.reservation import Refused, Remaining, Reservation
from translator.limits.snapshot import NANO_USD, LimitsSnapshot, Places
from translator.limits.values import OVERFLOW, Values
from translator.metrics import Sample

#: The limits that apply to a request, by organisation, key, route (their ids) and model.
LimitsOf = Callable[[str, str, str, str], Sequence[Limit]]
#: Python 3.11 takes as long to look up a member of an enum as to settle a limit.
_TOKENS, _CONCURRENCY = Metric.TOKENS, Metric.CONCURRENCY
#: Counters that are looked at, whether they are still needed, for every new one.
_EXAMINED = 2
#: At one request: many are new after a restart.
_EXAMINED_AT_MOST = 32


class Limiter:
    """The counters of every limit and the outstanding reservations. Times are Unix seconds of one clock."""

    def __init__(self, limits_of: LimitsOf, alerts: Alerts | None = None) -> None:
        self._limits_of = limits_of
        self.alerts = alerts if alerts is not None else Alerts()
        #: Some limit has alerts: what is settled is judged.
        self._watching = False
        self._counters: dict[str, Counter] = {}
        self._outstanding: dict[str, tuple[Reservation, Places]] = {}
        #: The counters' ids, in the order in which `_forget_idle` looks at them.
        self._examination: deque[str] = deque()
        #: New counters since `_forget_idle`.
        self._created = 0
        self._values = Values()
        self._snapshot: LimitsSnapshot | None = None
        #: Called with the ids of a reservation's limits, of which those on concurrency have a place again.
        self.on_freed: Callable[[Sequence[str]], object] | None = None
        #: Called with a limit of which values are counted together for the first time.
        self.on_overflow: Callable[[Limit], object] | None = None

    @property
    def outstanding(self) -> int:
        """Reservations that are neither settled nor expired."""
        return len(self._outstanding)

    @property
    def counters(self) -> int:
        """Limits of which something is counted, or was lately."""
        return len(self._counters)

    def samples(self) -> Iterable[Sample]:
        """For `/metrics`."""
        prefix = "trunkline_translator_limit"
        help_text = "Limits of which something is counted, or was lately; each value of a limit is one."
        yield Sample(f"{prefix}s_counting", "gauge", help_text, self.counters)
        help_text = "Of those, the ones of an end user or a tag."
        yield Sample(f"{prefix}_values", "gauge", help_text, len(self._values))
        help_text = "Requests counted in a limit that end users or tags share, as there are too many of them."
        yield Sample(f"{prefix}_overflows_total", "counter", help_text, self._values.overflows)
        help_text = "Alerts of limits, by whose the limit is."
        yield Sample(f"{prefix}_alerts_total", "counter", help_text, self.alerts.raised, "holder")
        help_text = "Alerts that the control plane has not taken yet."
        yield Sample(f"{prefix}_alerts_pending", "gauge", help_text, len(self.alerts.pending))
        help_text = "Alerts that there was no room for until the control plane would have taken them."
        yield Sample(f"{prefix}_alerts_dropped_total", "counter", help_text, self.alerts.dropped)

    def reservation(self, request_id: str) -> Reservation | None:
        """Returns the outstanding reservation of a request."""
        entry = self._outstanding.get(request_id)
        return entry[0] if entry is not None else None

    def applied(self, limits: Sequence[Limit], organisation: str, user: str, tag: str, at: float) -> Applicable:
        """Returns the limits for a request of an end user with a tag (percent-encoded; empty: it has none), where
        some hold for each of those. In a route's, users of different organisations are different ones.

        Of the places of pools, the first that are not all taken; the last where all are.
        """
        applied = [
            self._of_value(limit, _value(limit, organisation, user, tag), at) if limit.each else limit
            for limit in limits
            if limit.holder != POOL
        ]
        if len(applied) < len(limits):
            pools = [limit for limit in limits if limit.holder == POOL]
            applied.append(next(filter(self._has_room, pools), pools[-1]))
        return Applicable.of(tuple(applied))

    def _has_room(self, places: Limit) -> bool:
        found = self._counters.get(places.id)
        return found is None or found.total < places.amount

    def _of_value(self, each: Limit, value: str, at: float) -> Limit:
        limit = self._values.limit(each, value)
        if self._values.is_full(limit, each) and not self._makes_room(each, at):
            if self._values.overflowed(each) and self.on_overflow is not None:
                self.on_overflow(each)
            return self._values.limit(each, OVERFLOW)
        self._values.used(limit, each)
        return limit

    def _makes_room(self, each: Limit, at: float) -> bool:
        """Drops a counter of a limit's values in which nothing counts any more, if one is found."""
        for name in self._values.oldest(each, _EXAMINED_AT_MOST):
            old = self._counters[name]
            old.advance(at)
            if old.idle:
                self._drop(name)
                return True
        return False

    def reserve(self, reservation: Reservation, limits: Sequence[Limit]) -> Refused | None:
        """Takes one request, its tokens and its cost from all of `limits`, or nothing from any.

        `limits` are those of which `reservation` has the ids. A request that holds a reservation already keeps
        that one. Of several limits that refuse, the one that renews last is named.
        """
        if reservation.id in self._outstanding:
            return None
        if not limits:
            self._outstanding[reservation.id] = (reservation, ())
            return None
        at = reservation.at
        needs = (1, reservation.tokens, reservation.cost, 1)
        known = self._counters
        counters = []
        refusing = False
        for limit in limits:
            found = known.get(limit.id) or self._new(limit.id)
            found.advance(at)
            if found.total + needs[limit.metric] > limit.amount and not limit.soft:
                refusing = True
            counters.append(found)
        refused = _strictest(limits, counters, needs) if refusing else None
        if refused is None:
            if self._snapshot is not None:
                self._snapshot.keep(counters)
            places = tuple([(found, found.add(needs[found.metric])) for found in counters])
            self._outstanding[reservation.id] = (reservation, places)
        if self._created:
            self._forget_idle(at)
        return refused

    def watch(self, limits: Sequence[Limit], refused: Refused | None) -> None:
        """Judges limits that have alerts after a `reserve`. From now on, what is settled is judged too."""
        self._watching = True
        for limit in limits:
            if limit.alerts and refused is None:
                self.alerts.reserved(limit, self._counters[limit.id])
        # What never fits says nothing of what is used.
        if refused is not None and refused.limit.alerts and refused.renews is not None:
            found = self._counters.get(refused.limit.id)
            if found is not None:
                self.alerts.refused(refused.limit, found)

    def _judge_settled(self, reservation: Reservation) -> None:
        limits = self._limits_of(reservation.organisation, reservation.key, reservation.route, reservation.model)
        if any(limit.alerts for limit in limits):
            counted = set(reservation.limits)
            for limit in self._applied_to(reservation, limits):
                found = self._counters.get(limit.id)
                if limit.alerts and limit.id in counted and found is not None:
                    self.alerts.settled(limit, found)

    def _applied_to(self, reservation: Reservation, limits: Sequence[Limit]) -> Sequence[Limit]:
        if any(limit.each for limit in limits):
            return self.applied(
                limits, reservation.organisation, reservation.user, reservation.tag, reservation.at
            ).limits
        return limits

    def replay(self, reservation: Reservation) -> None:
        """Takes back, unchecked, what was reserved before; nothing if it is outstanding already.

        Raises:
            LimitError: it has the id of a limit that cannot be, and nothing has changed.
        """
        if reservation.id not in self._outstanding:
            places = self._add_at(reservation.limits, reservation.tokens, reservation.cost, reservation.at)
            self._outstanding[reservation.id] = (reservation, places)

    def settle(self, request_id: str, tokens: int, cost: int) -> bool:
        """Replaces the reserved amounts by those that were used, in the windows in which they were reserved, and
        ends the request's place among the concurrent ones.

        False, and nothing changes, if no such reservation is outstanding.
        """
        entry = self._outstanding.pop(request_id, None)
        if entry is None:
            return False
        reservation, places = entry
        if self._snapshot is not None:
            self._snapshot.keep(found for found, _ in places)
        changes = (0, tokens - reservation.tokens, cost - reservation.cost)
        freed = False
        for found, bucket in places:
            metric = found.metric
            if metric is _CONCURRENCY:
                found.total -= 1
                freed = True
            elif bucket.live:
                bucket.amount += changes[metric]
                found.total += changes[metric]
        if self._watching:
            self._judge_settled(reservation)
        if freed and self.on_freed is not None:
            self.on_freed(reservation.limits)
        return True

    def end(self, request_id: str) -> bool:
        """Ends the request's places among the concurrent ones; what it reserved otherwise waits for `settle`.

        False, and nothing changes, if it holds no such place.
        """
        entry = self._outstanding.get(request_id)
        if entry is None:
            return False
        reservation, places = entry
        lasting = [found.metric is not _CONCURRENCY for found, _ in places]
        if all(lasting):
            return False
        for found, _ in places:
            if found.metric is _CONCURRENCY:
                found.total -= 1
        limits = tuple(compress(reservation.limits, lasting))
        self._outstanding[request_id] = (
            msgspec.structs.replace(reservation, limits=limits),
            tuple(compress(places, lasting)),
        )
        if self.on_freed is not None:
            self.on_freed(reservation.limits)
        return True

    def settle_unknown(self, reservation: Reservation, tokens: int, cost: int) -> None:
        """Counts a request whose reservation was lost, in the windows of the moment at which it began, as far as
        they still count, of the limits there are now. `reservation` is what is known of it, without its limits.
        The caller sees to it that it is counted once.
        """
        limits = self._limits_of(reservation.organisation, reservation.key, reservation.route, reservation.model)
        limits = self._applied_to(reservation, limits)
        ids = [limit.id for limit in limits if limit.metric is not Metric.CONCURRENCY]
        self._add_at(ids, tokens, cost, reservation.at)
        if self._watching:
            self._judge_settled(msgspec.structs.replace(reservation, limits=tuple(ids)))

    def expire(self, request_id: str) -> bool:
        """Takes what was reserved for used, and ends the request's place among the concurrent ones.

        False, and nothing changes, if no such reservation is outstanding.
        """
        entry = self._outstanding.get(request_id)
        return entry is not None and self.settle(request_id, entry[0].tokens, entry[0].cost)

    def remaining(self, limits: Sequence[Limit], at: float) -> tuple[Remaining | None, Remaining | None]:
        """Of the limit on requests and of the one on tokens of which least is left; None where there is none."""
        known = self._counters
        tightest: list[Remaining | None] = [None, None]
        for limit in limits:
            metric = limit.metric
            if metric > _TOKENS:
                continue
            found = known.get(limit.id)
            remaining, resets = limit.amount, at
            if found is not None:
                found.advance(at)
                remaining -= found.total
                resets = found.cleared()
            other = tightest[metric]
            if other is None or remaining < other.remaining:
                tightest[metric] = Remaining(limit.amount, remaining, resets)
        requests, tokens = tightest
        return requests, tokens

    def totals(self, at: float) -> Iterator[tuple[str, int]]:
        """Ids of counters and what is taken; between two of them, whatever is called here may be called."""
        for name in list(self._counters):
            found = self._counters.get(name)
            if found is not None:
                found.advance(at)
                yield name, found.total

    @property
    def reservations(self) -> list[Reservation]:
        """Those outstanding, oldest first."""
        return [reservation for reservation, _ in self._outstanding.values()]

    @contextmanager
    def snapshot(self) -> Iterator[Iterator[dict[str, Any]]]:
        """Everything at this moment, as JSON values in parts, for `restore`. Between two parts, whatever is called
        here may be called; there is one snapshot at a time.
        """
        alerts = {"alerts": self.alerts.state()} if self._watching else {}
        self._snapshot = LimitsSnapshot(self._counters, self._outstanding.values(), alerts)
        try:
            yield self._snapshot.parts()
        finally:
            self._snapshot = None

    def restore(self, parts: Iterable[Mapping[str, Any]]) -> None:
        """Replaces everything by what `snapshot` gave.

        Raises:
            LimitError: it is nothing of the kind, and nothing has changed.
        """
        restored = Limiter(self._limits_of, self.alerts)
        try:
            for part in parts:
                if part.get("money") != NANO_USD:
                    part = legacy.part(part)  # noqa: PLW2901
                for name, state in part.get("counters", {}).items():
                    restored._new(name).load(state)
                if "alerts" in part:
                    restored.alerts.load(part["alerts"])
                    restored._watching = True
                for fields, steps in part.get("held", ()):
                    restored._take(Reservation.of(fields), steps)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            raise LimitError("the limits' state is damaged") from None
        self._counters, self._examination = restored._counters, restored._examination
        self._outstanding = restored._outstanding
        self._values, self._watching = restored._values, restored._watching

    def _take(self, reservation: Reservation, steps: Sequence[int]) -> None:
        """Holds a reservation whose amounts the counters have already, in the buckets of `steps`."""
        counters = [self._counters.get(each) or self._new(each) for each in reservation.limits]
        for found in counters:
            if found.metric is Metric.CONCURRENCY:
                found.total += 1
        places = tuple([(found, found.bucket(step)) for found, step in zip(counters, steps, strict=True)])
        self._outstanding[reservation.id] = (reservation, places)

    def _add_at(self, ids: Sequence[str], tokens: int, cost: int, at: float) -> Places:
        amounts = (1, tokens, cost, 1)
        counters = [self._counters.get(each) or self._new(each) for each in ids]
        if self._snapshot is not None:
            self._snapshot.keep(counters)
        return tuple([(found, found.add_at(at, amounts[found.metric])) for found in counters])

    def _new(self, limit_id: str) -> Counter:
        created = self._counters[limit_id] = counter(limit_id)
        self._values.add(limit_id)
        self._examination.append(limit_id)
        self._created += 1
        return created

    def _drop(self, name: str) -> None:
        del self._counters[name]
        self._values.discard(name)

    def _forget_idle(self, at: float) -> None:
        """Looks at some old counters for every new one, and drops those that nothing counts in any more: what is
        held stays bounded by what is in use, without ever looking at all of it.

        Not while a new one is made: it may be for a request that is about to count in one of the idle.
        """
        examined = min(_EXAMINED * self._created, len(self._examination), _EXAMINED_AT_MOST)
        self._created = max(0, self._created - _EXAMINED_AT_MOST // _EXAMINED)
        for _ in range(examined):
            name = self._examination.popleft()
            old = self._counters.get(name)
            if old is None:
                continue
            old.advance(at)
            if old.idle:
                self._drop(name)
            else:
                self._examination.append(name)


def _value(each: Limit, organisation: str, user: str, tag: str) -> str:
    value = user if each.each == "user" else tag
    return f"{organisation}/{value}" if each.holder == "route" else value


def _strictest(limits: Sequence[Limit], counters: Sequence[Counter], needs: Sequence[int]) -> Refused:
    """Of the limits that refuse, the one that renews last; one that never does comes first."""
    refused = []
    for limit, found in zip(limits, counters, strict=True):
        needed = needs[limit.metric]
        excess = found.total + needed - limit.amount
        if excess > 0 and not limit.soft:
            renews = None if needed > limit.amount else found.renews(excess)
            refused.append(Refused(limit, needed, found.total, renews))
    return max(refused, key=lambda each: float("inf") if each.renews is None else each.renews)
