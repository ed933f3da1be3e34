"""Any interleaving of reserve, end, settle, expire, restart and crash, against a slow and obvious model.

The model keeps every request for ever and adds them up. For a sliding window it knows only the stated bounds:
amounts younger than the window count, those older than it by more than a sixtieth do not, and those in between
may.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.translator.limits.building import (
    CONCURRENCY,
    COST,
    NOW,
    REQUESTS,
    TOKENS,
    limit,
    limiter,
    reservation,
)
from translator.limits import HolderLimit, Reservation

LIMITS = (
    limit(REQUESTS, "60", 4),
    limit(TOKENS, "60", 100),
    limit(TOKENS, "3600", 300, "key_b"),
    limit(COST, "7200", 200),
    limit(COST, "month@Europe/Berlin", 400, "key_b"),
    limit(CONCURRENCY, "-", 3),
)
AMOUNTS = st.integers(0, 120)


@dataclass
class Known:
    """A request that was admitted."""

    reservation: Reservation
    limits: tuple[HolderLimit, ...]
    running: bool = True
    ended: bool = False
    reserved: bool = True
    tokens: int = 0
    cost: int = 0

    def amount(self, of: HolderLimit) -> int:
        return (1, self.tokens, self.cost, int(self.running and not self.ended))[of.metric]


def month(at: float) -> tuple[int, int]:
    local = datetime.fromtimestamp(at, ZoneInfo("Europe/Berlin"))
    return local.year, local.month


class Interleavings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.engine = limiter(LIMITS)
        self.known: dict[str, Known] = {}
        self.snapshot = ""
        self.parts: Iterator[dict[str, Any]] | None = None
        self.stack = ExitStack()
        self.journal: list[Reservation | str] = []
        self.ended: list[Known | tuple[str, int, int] | str] = []

    @initialize()
    def store(self) -> None:
        """Begins a snapshot of this moment, whenever it is completed; later events are in the journal and in the
        log.
        """
        self.stack.close()
        self.parts = self.stack.enter_context(self.engine.snapshot())
        self.journal, self.ended = [], []

    @rule()
    def complete(self) -> None:
        if self.parts is not None:
            self.snapshot = json.dumps(list(self.parts))
            self.parts = None
            self.stack.close()

    def teardown(self) -> None:
        self.stack.close()

    @rule(chosen=st.sets(st.sampled_from(range(len(LIMITS))), min_size=1), tokens=AMOUNTS, cost=AMOUNTS)
    def reserve(self, chosen: set[int], tokens: int, cost: int) -> None:
        limits = tuple(LIMITS[each] for each in sorted(chosen))
        made = reservation(f"r{len(self.known)}", limits, tokens=tokens, cost=cost, at=self.now)
        needs = (1, tokens, cost, 1)
        least = [self.counted(each)[0] + needs[each.metric] - each.amount for each in limits]
        most = [self.counted(each)[1] + needs[each.metric] - each.amount for each in limits]
        refused = self.engine.reserve(made, limits)
        if refused is None:
            assert max(least) <= 0
            self.known[made.id] = Known(made, limits, tokens=tokens, cost=cost)
            self.journal.append(made)
        else:
            assert max(most) > 0
            assert most[limits.index(refused.limit)] > 0
            assert refused.taken + refused.needed > refused.limit.amount

    @precondition(lambda self: self.known)
    @rule(data=st.data(), tokens=AMOUNTS, cost=AMOUNTS)
    def settle(self, data: st.DataObject, tokens: int, cost: int) -> None:
        chosen = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        assert self.engine.settle(chosen.reservation.id, tokens, cost) == chosen.running
        if chosen.running:
            chosen.running, chosen.tokens, chosen.cost = False, tokens, cost
            self.ended.append((chosen.reservation.id, tokens, cost))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        chosen = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        assert self.engine.expire(chosen.reservation.id) == chosen.running
        if chosen.running:
            chosen.running = False
            self.ended.append(chosen.reservation.id)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        chosen = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        frees = chosen.running and not chosen.ended and LIMITS[-1] in chosen.limits
        assert self.engine.end(chosen.reservation.id) == frees
        if frees:
            chosen.ended = True
            self.journal.append(chosen.reservation.id)

    @rule(of=st.text(max_size=3))
    def end_unknown(self, of: str) -> None:
        if of not in self.known:
            assert not self.engine.end(of)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        chosen = self.known[data.draw(st.sampled_from(sorted(self.known)))]
        if chosen.running:
            assert self.engine.reserve(chosen.reservation, chosen.limits) is None

    @rule(age=st.integers(0, 300).map(lambda n: n / 4), tokens=AMOUNTS, cost=AMOUNTS)
    def settle_unknown(self, age: float, tokens: int, cost: int) -> None:
        made = reservation(f"u{len(self.known)}", LIMITS, at=self.now - age)
        lost = Known(made, LIMITS, running=False, reserved=False, tokens=tokens, cost=cost)
        self.known[made.id] = lost
        self.ended.append(lost)
        self.count(lost)

    def count(self, lost: Known) -> None:
        self.engine.settle_unknown(lost.reservation, lost.tokens, lost.cost)

    @rule(
        seconds=st.one_of(
            st.sampled_from((0.25, 0.5, 30.0, 59.25, 59.5, 59.75, 60.0, 60.75, 61.0)),
            st.integers(0, 300).map(lambda n: n / 4),
            st.integers(0, 40 * 86_400),
        )
    )
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restart(self) -> None:
        self.store()
        self.complete()
        self.engine = limiter(LIMITS)
        self.engine.restore(json.loads(self.snapshot))

    @rule()
    def crash(self) -> None:
        self.complete()
        self.engine = limiter(LIMITS)
        self.engine.restore(json.loads(self.snapshot))
        for entry in self.journal:
            if isinstance(entry, str):
                assert self.engine.end(entry)
            else:
                self.engine.replay(Reservation.of(json.loads(json.dumps(entry.fields))))
        for each in self.ended:
            if isinstance(each, Known):
                self.count(each)
            elif isinstance(each, str):
                assert self.engine.expire(each)
            else:
                assert self.engine.settle(*each)

    @invariant()
    def totals_agree(self) -> None:
        for each in LIMITS:
            refused = self.engine.reserve(reservation("probe", [each], at=self.now), [replace(each, amount=-1)])
            assert refused is not None
            least, most = self.counted(each)
            assert 0 <= least <= refused.taken <= most

    @invariant()
    def the_overshoot_is_what_was_used_beyond_reservations(self) -> None:
        for each in LIMITS:
            window = [
                known for known in self.known.values() if each in known.limits and self.age(each, known) == 0
            ]
            beyond = sum(max(0, known.amount(each) - self.reserved(each, known)) for known in window)
            assert sum(known.amount(each) for known in window) <= each.amount + beyond

    @invariant()
    def those_in_flight_are_outstanding(self) -> None:
        assert self.engine.outstanding == sum(known.running for known in self.known.values())

    def counted(self, of: HolderLimit) -> tuple[int, int]:
        """Returns the least and the most that may count now."""
        mine = [known for known in self.known.values() if of in known.limits]
        least = sum(known.amount(of) for known in mine if self.age(of, known) == 0)
        return least, sum(known.amount(of) for known in mine if self.age(of, known) <= 1)

    def age(self, of: HolderLimit, known: Known) -> int:
        """Returns 0: in the window; 1: in the tolerance after it; 2: outside."""
        at = known.reservation.at
        if of.metric is CONCURRENCY:
            return 0
        if of.window.startswith("month"):
            return 0 if month(at) == month(self.now) else 2
        seconds = int(of.window)
        if seconds >= 3_600:
            return 0 if at // seconds == self.now // seconds else 2
        age = self.now - at
        return 0 if age < seconds else 1 if age <= seconds + seconds / 60 else 2

    @staticmethod
    def reserved(of: HolderLimit, known: Known) -> int:
        """Returns the reserved amount; 0 for a request that was not admitted here."""
        made = known.reservation
        return (1, made.tokens, made.cost, 1)[of.metric] if known.reserved else 0


Interleavings.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestInterleavings = pytest.mark.slow(Interleavings.TestCase)
