"""Authorise → reserve → settle, for all limits at once and in memory.

The rule: a request is let through if and only if, for every limit that applies, the amount used in the limit's
window plus the amount reserved in it plus this request's reservation is at most the limit's amount. A reservation
is the estimated prompt plus the largest output that the request allows. So requests exceed a limit only by what
they use beyond their own reservations.

A soft limit counts like any other and refuses nothing. A limit for each end user or tag is a separate limit for
every value, see `values`.

A limit counts reservations from the moment it exists: a new limit, or one whose window changed, starts at zero.

Nothing here awaits, and there is one thread. So a check of several limits and the reservation in them are atomic.
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
from translator.limits.limit import POOL, Applicable, HolderLimit, Metric, are_places
from translator.limits.reservation import Refused, Remaining, Reservation
from translator.limits.snapshot import NANO_USD, LimitsSnapshot, Places
from translator.limits.values import Values, overflow
from translator.metrics import Sample

#: Returns the limits that apply to a request, by the ids of organisation, key and route, and the model's name.
LimitsOf = Callable[[str, str, str, str], Sequence[HolderLimit]]
#: Python 3.11 takes as long to look up a member of an enum as to settle a limit.
_TOKENS, _CONCURRENCY = Metric.TOKENS, Metric.CONCURRENCY
#: Existing counters that are examined for every new one, to drop those that count nothing any more.
_EXAMINED = 2
#: Most counters examined in one request: many are new after a restart.
_EXAMINED_AT_MOST = 32


class Limiter:
    """The counters of every limit and the outstanding reservations. Times are Unix seconds of one clock."""

    def __init__(self, limits_of: LimitsOf, alerts: Alerts | None = None) -> None:
        self._limits_of = limits_of
        self.alerts = alerts if alerts is not None else Alerts()
        #: True if some limit has alerts, so that settled amounts are checked against its shares.
        self._watching = False
        self._counters: dict[str, Counter] = {}
        self._outstanding: dict[str, tuple[Reservation, Places]] = {}
        #: The places that others take at machines, by the requests that were turned away because of them.
        self._foreign: dict[str, tuple[str, ...]] = {}
        #: The counters' ids, in the order in which `_forget_idle` examines them.
        self._examination: deque[str] = deque()
        #: Counters created since the last `_forget_idle`.
        self._created = 0
        self._values = Values()
        self._snapshot: LimitsSnapshot | None = None
        #: Called with the ids of a reservation's limits when its concurrent places are free again.
        self.on_freed: Callable[[Sequence[str]], object] | None = None
        #: Called with a limit when it first has too many values, so that the rest are counted together.
        self.on_overflow: Callable[[HolderLimit], object] | None = None

    @property
    def outstanding(self) -> int:
        """The number of reservations that are neither settled nor expired."""
        return len(self._outstanding)

    @property
    def counters(self) -> int:
        """The number of limits that count something, or did so lately."""
        return len(self._counters)

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        prefix = "trunkline_translator_limit"
        help_text = "Limits that count something, or did so lately; each value of a limit is one."
        yield Sample(f"{prefix}s_counting", "gauge", help_text, self.counters)
        help_text = "Limits of an end user or a tag that count something, or did so lately."
        yield Sample(f"{prefix}_values", "gauge", help_text, len(self._values))
        help_text = "Requests counted in a limit that end users or tags share because there are too many of them."
        yield Sample(f"{prefix}_overflows_total", "counter", help_text, self._values.overflows)
        help_text = "Alerts of limits, by the limit's holder."
        yield Sample(f"{prefix}_alerts_total", "counter", help_text, self.alerts.raised, "holder")
        help_text = "Alerts that the control plane has not accepted yet."
        yield Sample(f"{prefix}_alerts_pending", "gauge", help_text, len(self.alerts.pending))
        help_text = "Alerts dropped because too many waited for the control plane."
        yield Sample(f"{prefix}_alerts_dropped_total", "counter", help_text, self.alerts.dropped)

    def reservation(self, request_id: str) -> Reservation | None:
        """Returns the outstanding reservation of a request."""
        entry = self._outstanding.get(request_id)
        return entry[0] if entry is not None else None

    def applied(
        self, limits: Sequence[HolderLimit], organisation: str, user: str, tag: str, at: float
    ) -> Applicable:
        """Returns the limits that apply to a request, where some hold for every end user or tag separately.

        `user` and `tag` are percent-encoded and empty if the request has none. In a route's limits, users of
        different organisations are different users. Of the places of pools, the first that has one free applies;
        if all are taken, the last.
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

    def _has_room(self, places: HolderLimit) -> bool:
        found = self._counters.get(places.id)
        return found is None or found.total < places.amount

    def _of_value(self, each: HolderLimit, value: str, at: float) -> HolderLimit:
        limit = self._values.limit(each, value)
        if self._values.is_full(limit) and not self._makes_room(limit, at):
            if self._values.overflowed(each) and self.on_overflow is not None:
                self.on_overflow(each)
            return self._values.limit(each, overflow(value, each))
        self._values.used(limit, each)
        return limit

    def _makes_room(self, limit: HolderLimit, at: float) -> bool:
        """Drops a counter, not that of `limit`, that counts nothing any more. Returns whether there was one."""
        for name in self._values.oldest(limit, _EXAMINED_AT_MOST):
            old = self._counters[name]
            old.advance(at)
            if old.idle:
                self._drop(name)
                return True
        return False

    def reserve(self, reservation: Reservation, limits: Sequence[HolderLimit]) -> Refused | None:
        """Takes one request, its tokens and its cost from all of `limits`, or nothing from any of them.

        `limits` are the limits whose ids `reservation` has. A request that already holds a reservation keeps it.
        If several limits refuse, the one that renews last is returned.
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
                self._snapshot.copy_before_change(counters)
            places = tuple([(found, found.add(needs[found.metric])) for found in counters])
            self._outstanding[reservation.id] = (reservation, places)
        if self._created:
            self._forget_idle(at)
        return refused

    def watch(self, limits: Sequence[HolderLimit], refused: Refused | None) -> None:
        """Checks limits that have alerts after a `reserve`. From the first call on, settled amounts are checked
        too.
        """
        self._watching = True
        for limit in limits:
            if limit.alerts and refused is None:
                self.alerts.reserved(limit, self._counters[limit.id])
        # A request that can never fit says nothing about what is used.
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

    def _applied_to(self, reservation: Reservation, limits: Sequence[HolderLimit]) -> Sequence[HolderLimit]:
        if any(limit.each for limit in limits):
            return self.applied(
                limits, reservation.organisation, reservation.user, reservation.tag, reservation.at
            ).limits
        return limits

    def replay(self, reservation: Reservation) -> None:
        """Takes back an earlier reservation without checking the limits; does nothing if it is outstanding.

        Raises:
            LimitError: the reservation names a limit with an invalid id; nothing has changed.
        """
        if reservation.id not in self._outstanding:
            places = self._add_at(reservation.limits, reservation.tokens, reservation.cost, reservation.at)
            self._outstanding[reservation.id] = (reservation, places)

    def settle(self, request_id: str, tokens: int, cost: int) -> bool:
        """Replaces the reserved amounts by the used ones, in the windows in which they were reserved, and frees
        the request's concurrent places.

        Returns False, and changes nothing, if no such reservation is outstanding.
        """
        entry = self._outstanding.pop(request_id, None)
        if entry is None:
            return False
        if self._foreign:
            self.let_in(request_id)
        reservation, places = entry
        if not places and not self._watching:
            return True
        if self._snapshot is not None:
            self._snapshot.copy_before_change(found for found, _ in places)
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
        """Frees the request's concurrent places; its other amounts stay reserved until `settle`.

        Returns False, and changes nothing, if it holds no such place.
        """
        entry = self._outstanding.get(request_id)
        if entry is None:
            return False
        if self._foreign:
            self.let_in(request_id)
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

    def turned_away(self, request_id: str) -> None:
        """Records that machines have no place for a request although one is counted for it: another program uses
        that place.

        It counts until the request is let in or over, so that no other request gets the next free place.
        """
        entry = self._outstanding.get(request_id)
        if entry is None or request_id in self._foreign:
            return
        reservation, places = entry
        pools = {
            name: found for name, (found, _) in zip(reservation.limits, places, strict=True) if are_places(name)
        }
        for found in pools.values():
            found.total += 1
        self._foreign[request_id] = tuple(pools)

    def let_in(self, request_id: str) -> None:
        """Takes that a machine serves a request that was turned away before."""
        pools = self._foreign.pop(request_id, ())
        for name in pools:
            self._counters[name].total -= 1
        if pools and self.on_freed is not None:
            self.on_freed(pools)

    def settle_unknown(self, reservation: Reservation, tokens: int, cost: int) -> None:
        """Counts a request whose reservation was lost.

        It counts in the current limits, in the windows of the moment at which it began if these still count.
        `reservation` is what is known of the request, without its limits. The caller ensures that it is counted
        once.
        """
        limits = self._limits_of(reservation.organisation, reservation.key, reservation.route, reservation.model)
        limits = self._applied_to(reservation, limits)
        ids = [limit.id for limit in limits if limit.metric is not Metric.CONCURRENCY]
        self._add_at(ids, tokens, cost, reservation.at)
        if self._watching:
            self._judge_settled(msgspec.structs.replace(reservation, limits=tuple(ids)))

    def expire(self, request_id: str) -> bool:
        """Counts the reserved amounts as used and frees the request's concurrent places.

        Returns False, and changes nothing, if no such reservation is outstanding.
        """
        entry = self._outstanding.get(request_id)
        return entry is not None and self.settle(request_id, entry[0].tokens, entry[0].cost)

    def remaining(self, limits: Sequence[HolderLimit], at: float) -> tuple[Remaining | None, Remaining | None]:
        """Returns the request limit and the token limit with the least remaining; None if that kind does not
        apply.
        """
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
        """Yields the ids of counters with the amounts taken. Other methods may be called between two of them."""
        for name in list(self._counters):
            found = self._counters.get(name)
            if found is not None:
                found.advance(at)
                yield name, found.total

    @property
    def reservations(self) -> list[Reservation]:
        """The outstanding reservations, oldest first."""
        return [reservation for reservation, _ in self._outstanding.values()]

    @contextmanager
    def snapshot(self) -> Iterator[Iterator[dict[str, Any]]]:
        """Gives the state at this moment, in parts that `restore` accepts, as JSON values.

        Other methods may be called between two parts. There can be only one snapshot at a time.
        """
        alerts = {"alerts": self.alerts.state()} if self._watching else {}
        self._snapshot = LimitsSnapshot(self._counters, self._outstanding.values(), alerts)
        try:
            yield self._snapshot.parts()
        finally:
            self._snapshot = None

    def restore(self, parts: Iterable[Mapping[str, Any]]) -> None:
        """Replaces the state by the parts of a snapshot.

        Raises:
            LimitError: the parts are damaged; nothing has changed.
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
        self._foreign.clear()
        self._values, self._watching = restored._values, restored._watching

    def _take(self, reservation: Reservation, steps: Sequence[int]) -> None:
        """Adds a reservation whose amounts are already in the counters, in the buckets of `steps`."""
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
            self._snapshot.copy_before_change(counters)
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
        """Examines a few old counters for every new one and drops those that count nothing.

        So memory stays bounded by what is in use, and no request has to examine all counters. This must not run
        while counters are being created: one of the idle ones may be about to count the same request.
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


def _value(each: HolderLimit, organisation: str, user: str, tag: str) -> str:
    value = user if each.each == "user" else tag
    return f"{organisation}/{value}" if each.holder == "route" else value


def _strictest(limits: Sequence[HolderLimit], counters: Sequence[Counter], needs: Sequence[int]) -> Refused:
    """Returns the refusing limit that renews last; a limit that can never fit the request comes first."""
    refused = []
    for limit, found in zip(limits, counters, strict=True):
        needed = needs[limit.metric]
        excess = found.total + needed - limit.amount
        if excess > 0 and not limit.soft:
            renews = None if needed > limit.amount else found.renews(excess)
            refused.append(Refused(limit, needed, found.total, renews))
    return max(refused, key=lambda each: float("inf") if each.renews is None else each.renews)
