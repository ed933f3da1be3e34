"""`envoy/module/hosts.c` against a dictionary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Argument, Driver

ENOUGH, FIRST, LONGEST, AGAIN = 3, 5_000, 60_000, 1_000
HOSTS = range(1, 6)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("hosts") as running:
        yield running


@dataclass
class Record:
    confirmed: int = 0
    unreachable: int = 0
    rests: int = 0
    until: int = 0
    asked: int = 0

    def rest(self, now: int) -> None:
        if now >= self.until:
            self.rests += 1
            self.until = now + min(FIRST * self.rests, LONGEST)


steps = st.one_of(
    st.tuples(st.just("confirm"), st.lists(st.sampled_from(HOSTS), min_size=1, max_size=3)),
    st.tuples(
        st.sampled_from(["unreachable", "answered", "served", "rests", "suspects", "ask"]), st.sampled_from(HOSTS)
    ),
)


@given(st.lists(st.tuples(st.integers(0, 6_000), steps), max_size=60))
def test_it_is_what_it_says(driver: Driver, sequence: list[tuple[int, tuple[str, list[int] | int]]]) -> None:
    known: dict[int, Record] = {}
    command: list[Argument] = []
    expected: list[bool] = []
    for host in HOSTS:
        command += ("served", host)
    now = 1_000_000
    for passed, (what, whom) in sequence:
        now += passed
        if isinstance(whom, list):
            command += (what, now, len(whom), *whom)
            for host in whom:
                record = known.setdefault(host, Record())
                record.confirmed += 1
                if record.confirmed >= ENOUGH:
                    record.rest(now)
            continue
        command += (what, whom) if what in {"answered", "served", "suspects"} else (what, whom, now)
        found = known.get(whom)
        if what == "unreachable":
            record = known.setdefault(whom, Record())
            record.unreachable += 1
            if record.unreachable >= ENOUGH:
                record.rest(now)
        elif what == "served" or (what == "answered" and found and not found.confirmed):
            known.pop(whom, None)
        elif what == "answered" and found:
            found.unreachable = 0
        elif what == "rests":
            expected.append(found is not None and now < found.until)
        elif what == "suspects":
            expected.append(found is not None and found.confirmed >= ENOUGH)
        elif what == "ask":
            may = found is None or found.unreachable < ENOUGH or now - found.asked >= AGAIN
            if found and may:
                found.asked = now
            expected.append(may)
    assert driver.ask(*command) == [b"%d" % value for value in expected]


def test_it_is_bounded_and_forgets_the_longest_unused_first(driver: Driver) -> None:
    """Hosts that share a place of the table."""
    same = [7 + 1024 * number for number in range(1, 6)]
    command: list[Argument] = []
    for host in same:
        command += ("confirm", 1, 3, host, host, host)
    for host in same:
        command += ("rests", host, 2)
    assert driver.ask(*command) == [b"0", b"1", b"1", b"1", b"1"]
