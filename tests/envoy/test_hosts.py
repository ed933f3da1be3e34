"""`envoy/module/hosts.c` and `rest.c` against a dictionary of `Rest`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Argument, Driver
from tests.envoy.rest_model import AGAIN, ENOUGH, OPEN, PAUSED, PROBE, RECOVERY, RESTS, TRICKLES, Rest

HOSTS = range(1, 6)
HALF = 32 << 32
#: Later than the end of any rest in an earlier example.
FOREVER = 10_000_000


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("hosts") as running:
        yield running


@pytest.fixture(scope="module")
def clock() -> list[int]:
    return [FOREVER]


class Both:
    """Applies each operation to the table and to the dictionary, and collects their results."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.command: list[Argument] = []
        self.expected: list[int] = []
        self.known: dict[int, Rest] = {}

    def do(self, what: str, host: int, *arguments: int) -> None:
        self.command += (what, host, *(() if what == "suspects" else (self.now,)), *arguments)
        found = self.known.get(host)
        match what:
            case "unreachable":
                self.known.setdefault(host, Rest()).miss(self.now)
            case "pause":
                key, user, for_all, stated, ms, most = arguments
                rest = self.known.setdefault(host, Rest())
                begins = rest.pause(
                    (key, user), self.now, for_all=bool(for_all), stated=bool(stated), ms=ms, most=most
                )
                self.expected.append(begins)
            case "answered" if found:
                found.answer(self.now)
            case "served" if found:
                found.serve((arguments[0], arguments[1]), self.now, probe=bool(arguments[2]))
            case "state":
                self.expected.append(
                    found.state((arguments[0], arguments[1]), arguments[2], self.now) if found else OPEN
                )
            case "enter":
                state = found.state((arguments[0], arguments[1]), arguments[2], self.now) if found else OPEN
                if found and state == TRICKLES:
                    found.probed = self.now + PROBE
                self.expected += [state <= TRICKLES, state == TRICKLES]
            case "suspects":
                self.expected.append(found is not None and found.confirmed >= ENOUGH)
            case "ask":
                may = found is None or found.unreachable < ENOUGH or self.now - found.asked >= AGAIN
                if found and may:
                    found.asked = self.now
                self.expected.append(may)
        if what in {"answered", "served"} and found and found.over(self.now):
            del self.known[host]

    def confirm(self, *hosts: int) -> None:
        self.command += ("confirm", self.now, len(hosts), *hosts)
        for host in hosts:
            self.known.setdefault(host, Rest()).confirm(self.now)

    def forget(self) -> None:
        """Ends everything that the last example left."""
        for _ in range(2):
            for host in HOSTS:
                self.command += ("served", host, self.now, 0, 0, 1)
            self.now += 10 * RECOVERY + FOREVER


hosts = st.sampled_from(HOSTS)
flags = st.integers(0, 1)
#: Two callers of one organisation, and two of others.
keys = st.sampled_from([0, 1, 100, 101])
randoms = st.integers(0, 63).map(lambda part: part << 32)
steps = st.one_of(
    st.tuples(st.just("confirm"), st.lists(hosts, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["unreachable", "answered", "suspects", "ask"]), hosts),
    st.tuples(st.just("served"), hosts, keys, flags, flags),
    st.tuples(
        st.just("pause"), hosts, keys, flags, flags, flags, st.integers(1_000, 5_000), st.integers(5_000, 20_000)
    ),
    st.tuples(st.sampled_from(["state", "enter"]), hosts, keys, flags, randoms),
)


@given(st.lists(st.tuples(st.integers(0, 6_000), steps), max_size=60))
def test_it_is_what_it_says(
    driver: Driver, clock: list[int], sequence: list[tuple[int, tuple[object, ...]]]
) -> None:
    both = Both(clock[0])
    both.forget()
    for passed, (what, *arguments) in sequence:
        both.now += passed
        if what == "confirm":
            both.confirm(*arguments[0])  # type: ignore[misc]
        else:
            both.do(str(what), *arguments)  # type: ignore[arg-type]
    clock[0] = both.now + FOREVER
    assert driver.ask(*both.command) == [b"%d" % value for value in both.expected]


class Host:
    """One host, whose clock moves only when a test moves it."""

    hosts = iter(range(100, 10_000))

    def __init__(self, driver: Driver, now: int = FOREVER) -> None:
        self.driver, self.host, self.now = driver, next(self.hosts), now

    def __call__(self, what: str, *arguments: int) -> list[int]:
        return [int(text) for text in self.driver.ask(what, self.host, self.now, *arguments)]

    def pause(self, caller: int, user: int = 0, ms: int = 20_000, *, for_all: int = 0, stated: int = 1) -> None:
        self("pause", caller, user, for_all, stated, ms, ms)

    def state(self, caller: int, user: int = 0, random: int = HALF) -> int:
        return self("state", caller, user, random)[0]


class TestPause:
    def test_one_callers_own_request_keeps_only_that_caller_away(self, driver: Driver) -> None:
        host = Host(driver)
        for _ in range(10):
            host.pause(1)
        assert host.state(1) == PAUSED
        assert host("enter", 2, 0, HALF) == [1, 1]
        assert host.state(2) == RESTS, "one at a time finds out"
        host("served", 2, 0, 1)
        assert [host.state(caller) for caller in (1, 2, 3)] == [PAUSED, OPEN, OPEN]

    def test_what_two_callers_meet_holds_for_all(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(1)
        host("enter", 2, 0, HALF)
        host.pause(2)
        assert [host.state(caller) for caller in (1, 2, 3)] == [PAUSED] * 3
        host("served", 3, 0, 0)
        assert host.state(3) == PAUSED, "the answer belongs to an earlier request"

    def test_two_users_of_one_key_speak_for_that_key(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(1, 1)
        assert host.state(1, 2) == TRICKLES
        host.pause(1, 2)
        assert host.state(1, 3) == PAUSED
        assert host.state(2) == TRICKLES

    def test_two_keys_of_one_organisation_speak_for_it_alone(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(101, ms=600_000)
        for key in (102, 103, 104):
            host.now += 1
            host.pause(key, ms=600_000)
        assert [host.state(key) for key in (101, 105)] == [PAUSED, PAUSED]
        assert host("enter", 201, 0, HALF) == [1, 1], "another organisation finds out for itself"
        host("served", 201, 0, 1)
        assert [host.state(key) for key in (202, 301, 105)] == [OPEN, OPEN, PAUSED]

    def test_callers_who_take_turns_keep_nobody_else_away(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(101, 1)
        host("enter", 201, 0, HALF)
        host("served", 201, 0, 1)
        for key, user in ((101, 2), (101, 1), (102, 1), (101, 2)):
            host.now += 1
            host.pause(key, user)
            assert host.state(key, user) == PAUSED
            assert [host.state(caller, 9) for caller in (101, 103, 201)] == [OPEN] * 3
            host("served", 201, 0, 0)

    def test_a_limit_that_was_one_callers_alone_may_become_everybodys(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(101)
        host("enter", 102, 0, HALF)
        host("served", 102, 0, 1)
        host.pause(103)
        assert host.state(104) == OPEN, "other requests were served just now"
        host.pause(104)
        assert host.state(105) == TRICKLES, "no request was served since"
        host.pause(105)
        assert [host.state(key) for key in (106, 201)] == [PAUSED, TRICKLES]
        host.pause(201)
        assert host.state(301) == PAUSED

    def test_a_used_up_quota_holds_for_all_at_once(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(1, for_all=1)
        assert host.state(2) == PAUSED

    def test_without_a_time_it_is_a_preference(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(1, stated=0)
        assert host.state(1) == RESTS

    def test_its_end_is_a_trickle_and_then_a_growing_share(self, driver: Driver) -> None:
        host = Host(driver)
        host.pause(1, for_all=1)
        host.now += 20_000
        assert [host("enter", 1, 0, HALF) for _ in range(2)] == [[1, 1], [0, 0]]
        host.now += PROBE
        assert host("enter", 1, 0, HALF) == [1, 1], "the probe was lost"
        host("served", 1, 0, 1)
        shares = []
        for _ in range(6):
            shares.append(sum(host.state(1, 0, part << 32) == OPEN for part in range(64)))
            host.now += RECOVERY // 5
        assert shares == [4, 16, 29, 42, 55, 64]


def test_what_health_checks_bring_back_has_a_growing_share(driver: Driver) -> None:
    host = Host(driver)
    host("back")
    assert host.state(1) == OPEN, "the host never rested"
    host("away")
    host.now += 60_000
    host("back")
    shares = []
    for _ in range(6):
        host("back")
        shares.append(sum(host.state(1, 0, part << 32) == OPEN for part in range(64)))
        host.now += RECOVERY // 5
    assert shares == [4, 16, 29, 42, 55, 64]


def test_it_is_bounded_and_forgets_the_longest_unused_first(driver: Driver) -> None:
    """All of the hosts share one place of the table."""
    same = [7 + 1024 * number for number in range(1, 6)]
    command: list[Argument] = []
    for host in same:
        command += ("confirm", FOREVER, 3, host, host, host)
    for host in same:
        command += ("state", host, FOREVER + 1, 0, 0, 0)
    assert driver.ask(*command) == [b"0", b"2", b"2", b"2", b"2"]
