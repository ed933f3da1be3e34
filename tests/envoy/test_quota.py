"""`envoy/module/quota.c`: no window has more than its amount, and a resting credential comes back when it says
so.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Driver

accounts = itertools.count(1)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("quota") as running:
        yield running


class Account:
    """An unused credential."""

    def __init__(self, driver: Driver, quotas: str) -> None:
        self.driver, self.quotas, self.number = driver, quotas, next(accounts)

    def take(self, now: int, tokens: int = 0, charge: int = 0, *, forced: bool = False) -> bool:
        asked = ("take", self.number, self.quotas, tokens, now, int(forced), charge)
        return self.driver.ask(*asked) == [b"1"]

    def wait(self, now: int, tokens: int = 0) -> int:
        return int(self.driver.ask("wait", self.number, self.quotas, tokens, now)[0])

    def settle(self, charge: int, tokens: int, now: int) -> None:
        self.driver.ask("settle", charge, tokens, now)


@pytest.mark.parametrize(
    "text", ["", "r", "r60", "r60:", "x60:5", "r0:5", "r60:0", "r60:5;", "r60:-5", "r9999999:1"]
)
def test_what_is_no_quota(driver: Driver, text: str) -> None:
    bare = text.rstrip(";")
    assert driver.ask("wait", 1, text, 0, 0) == ([b"no"] if text == bare else [b"0"])


@given(
    st.integers(1, 120),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 10)), min_size=1, max_size=60),
)
def test_no_window_has_more_than_its_amount(
    driver: Driver, seconds: int, amount: int, bursts: list[tuple[int, int]]
) -> None:
    account, now, taken = Account(driver, f"r{seconds}:{amount}"), 10**9, []
    for passed, count in bursts:
        now += passed
        taken += [now for _ in range(count) if account.take(now)]
    for at in taken:
        assert sum(at <= other < at + seconds * 1000 for other in taken) <= amount


@given(st.integers(1, 100_000), st.integers(1, 50), st.integers(0, 10**6))
def test_it_waits_no_longer_than_it_says(driver: Driver, seconds: int, amount: int, begin: int) -> None:
    account, now = Account(driver, f"r{seconds}:{amount}"), 10**9 + begin
    assert all(account.take(now) for _ in range(amount))
    wait = account.wait(now)
    assert seconds * 1000 <= wait <= seconds * 1000 + seconds * 1000 // 60 + 61
    assert not account.take(now + wait - 1)
    assert account.take(now + wait)


def test_of_several_the_longest_wait_counts_and_none_takes(driver: Driver) -> None:
    account = Account(driver, "r60:1;r3600:2;t60:1000")
    assert account.take(10**9, 10)
    assert 60_000 <= account.wait(10**9, 10) < 62_000
    assert account.take(10**9 + 62_000, 10)
    assert account.wait(10**9 + 62_000, 10) > 3_000_000


def test_what_was_used_replaces_what_was_reserved(driver: Driver) -> None:
    account, now = Account(driver, "t60:1000"), 10**9
    assert account.take(now, 900, charge=1)
    assert not account.take(now, 900, charge=2)
    account.settle(1, 50, now + 5_000)
    assert account.take(now + 5_000, 900, charge=2)
    account.settle(2, 2_000, now + 6_000)
    assert account.wait(now + 6_000, 1) > 0


def test_a_request_larger_than_the_quota_goes_alone(driver: Driver) -> None:
    account, now = Account(driver, "t60:1000"), 10**9
    assert account.take(now, 5_000)
    assert not account.take(now, 1)
    assert account.take(now + 62_000, 5_000)


def test_what_was_not_sent_counts_nowhere(driver: Driver) -> None:
    account, now = Account(driver, "r60:1;t60:10"), 10**9
    assert account.take(now, 10, charge=3)
    driver.ask("return", 3, now)
    assert account.take(now, 10)


def test_what_may_go_nowhere_else_is_counted_and_not_kept_back(driver: Driver) -> None:
    account, now = Account(driver, "r60:1"), 10**9
    assert [account.take(now, forced=True) for _ in range(3)] == [True] * 3
    assert not account.take(now)


def test_what_is_left_is_reported(driver: Driver) -> None:
    account, now = Account(driver, "r60:2;t3600:1000"), 10**12
    account.take(now, 900)
    account.take(now, 0)
    account.wait(now + 500, 1)
    (report,) = driver.ask("report", now + 1_000)
    lines = [line.split(" ") for line in report.decode().splitlines()]
    mine = [line[2:] for line in lines if line[1] == str(account.number)]
    assert mine == [["r", "60", "2", "2", mine[0][4], "500"], ["t", "3600", "1000", "900", "0", "0"]]
    assert 58_000 <= int(mine[0][4]) <= 61_000
    (report,) = driver.ask("report", now + 10**9)
    assert f" {account.number} " not in report.decode(), "the account has not been used for long"


@pytest.mark.parametrize(
    ("last", "start", "tokens"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}, None, 12),
        ({"details": {"total_tokens": 99}, "prompt_tokens": 7, "completion_tokens": 5}, None, 12),
        ({"input_tokens": 7, "output_tokens": 5}, None, 12),
        ({"output_tokens": 5}, {"input_tokens": 7, "output_tokens": 1}, 12),
        ({'a " total_tokens': 3, "total_tokens": 4}, None, 4),
        ({"total_tokens": -4}, None, None),
        ({"total_tokens": "4"}, None, None),
        ({"total_tokens": 10**30}, None, None),
        ({}, None, None),
    ],
)
def test_the_tokens_of_a_report(driver: Driver, last: object, start: object, tokens: int | None) -> None:
    counted = driver.ask("usage", json.dumps(last), json.dumps(start) if start else "")
    assert counted == ([b"1", str(tokens).encode()] if tokens is not None else [b"0", counted[1]])


@given(st.text(alphabet='{}[]":,\\ total_tokens123', max_size=60))
def test_no_report_does_harm(driver: Driver, report: str) -> None:
    assert len(driver.ask("usage", report, report)) == 2
