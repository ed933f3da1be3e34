"""`envoy/module/advice.c`: when to come back, in all wordings of providers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Driver

NOW = datetime(2026, 2, 28, 23, 59, 30, tzinfo=UTC)
SHORTEST, LONGEST = 1_000, 600_000


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("advice") as running:
        yield running


def advice(
    driver: Driver, *headers: tuple[str, str | bytes], now: datetime = NOW, need: tuple[int, int] = (1, 1)
) -> tuple[int, bool]:
    command = [text for header in headers for text in header]
    wait, exhausted = driver.ask(round(now.timestamp() * 1000), *need, *command)
    return int(wait), exhausted == b"1"


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("20", 20_000),
        ("0", SHORTEST),
        ("1.5", 1_500),
        ("100000", LONGEST),
        ("Sun, 01 Mar 2026 00:00:00 GMT", 30_000),
        ("Sat, 28 Feb 2026 23:00:00 GMT", SHORTEST),
        ("Sun, 01 Mar 2026 00:00:00 CET", 0),
        ("Sun, 31 Foo 2026 00:00:00 GMT", 0),
        ("soon", 0),
        ("", 0),
        ("-1", 0),
        ("999999999", LONGEST),
        ("1000000000", LONGEST),
        ("1000000000000", LONGEST),
        ("9" * 40, LONGEST),
        ("Sun, 01 Mar 9999 00:00:00 GMT", LONGEST),
        ("Thu, 01 Jan 1970 00:00:00 GMT", SHORTEST),
        ("1e3", 0),
        ("5, 500", 0),
        ("Infinity", 0),
    ],
)
def test_retry_after(driver: Driver, value: str, wait: int) -> None:
    assert advice(driver, ("retry-after", value)) == (wait, False)


def test_milliseconds_are_more_exact(driver: Driver) -> None:
    assert advice(driver, ("retry-after", "2"), ("retry-after-ms", "1234")) == (1_234, False)
    assert advice(driver, ("retry-after", "2"), ("retry-after-ms", "x")) == (2_000, False)


@pytest.mark.parametrize(
    ("reset", "wait"),
    [
        ("6m0s", 360_000),
        ("1h2m", LONGEST),
        ("1m30.25s", 90_250),
        ("1200ms", 1_200),
        ("17", 17_000),
        ("2026-03-01T00:00:10Z", 40_000),
        ("2026-03-01T00:00:10.5+00:00", 40_500),
        (str(round(NOW.timestamp()) + 50), 50_000),
        (str(round(NOW.timestamp() * 1000) + 50_123), 50_123),
        (f"{NOW.timestamp() + 50.5}", 50_500),
        (str(round(NOW.timestamp() * 1e6) + 50_123_000), 50_123),
        (str(round(NOW.timestamp()) - 50), SHORTEST),
        ("2026-03-01T02:00:10+02:00", 40_000),
        ("2026-02-28T18:30:10-05:30", 40_000),
        ("2026-03-01t00:00:10z", 40_000),
        ("2026-03-01T00:00:10+24:00", 0),
        ("0s", SHORTEST),
        ("20ms", SHORTEST),
        ("1m1.5\u00b5s", 60_000),
        ("1d", LONGEST),
        ("99999999999999999999h" * 3, LONGEST),
        ("never", 0),
    ],
)
@pytest.mark.parametrize(
    ("remaining", "until"),
    [
        ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
        ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
        ("x-ratelimit-remaining", "x-ratelimit-reset"),
        ("ratelimit-remaining", "ratelimit-reset"),
    ],
)
def test_the_reset_of_what_is_used_up(driver: Driver, remaining: str, until: str, reset: str, wait: int) -> None:
    assert advice(driver, (remaining, "0"), (until, reset)) == (wait, True)
    assert advice(driver, (remaining, "1"), (until, reset)) == (0, False)
    assert advice(driver, (remaining, "0"), (until, reset), ("retry-after", "3")) == (3_000, True)


def test_of_two_the_later_one(driver: Driver) -> None:
    sent = [(f"x-ratelimit-{word}-{metric}", value) for metric, word, value in (
        ("requests", "remaining", "0"), ("requests", "reset", "5s"),
        ("tokens", "remaining", "0"), ("tokens", "reset", "9s"),
    )]  # fmt: skip
    assert advice(driver, *sent) == (9_000, True)


@pytest.mark.parametrize(
    ("metric", "limit", "remaining", "exhausted"),
    [
        ("requests", "500", "7", True),
        ("requests", "500", "8", False),
        ("tokens", "30000", "900", True),
        ("tokens", "30000", "1600", False),
        ("tokens", "1000", "900", False),
        ("tokens", "0", "0", False),
        ("tokens", "x", "0", True),
        ("requests", "500", "-1", False),
        ("requests", "500", "99999999999999999999999", False),
    ],
)
def test_what_is_left_has_to_suffice(
    driver: Driver, metric: str, limit: str, remaining: str, *, exhausted: bool
) -> None:
    """The rest must suffice for eight running requests, and for a thousand tokens if less than a twentieth is
    left.
    """
    sent = {"limit": limit, "remaining": remaining, "reset": "12s"}
    for headers in (
        [(f"x-ratelimit-{word}-{metric}", value) for word, value in sent.items()],
        [(f"anthropic-ratelimit-{metric}-{word}", value) for word, value in sent.items()],
    ):
        assert advice(driver, *headers, need=(8, 1_000)) == (12_000 if exhausted else 0, exhausted)


def test_nothing_is_not_enough_for_a_request_that_reserves_nothing(driver: Driver) -> None:
    sent = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "12s")]
    assert advice(driver, *sent, need=(1, 0)) == (12_000, True)


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)), st.integers(-100, 900))
def test_every_date(driver: Driver, at: datetime, seconds: int) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    then = at + timedelta(seconds=seconds)
    wait = min(max(seconds * 1000, SHORTEST), LONGEST)
    assert advice(driver, ("retry-after", format_datetime(then, usegmt=True)), now=at) == (wait, False)


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_value_does_harm(driver: Driver, after: bytes, reset: bytes) -> None:
    wait, _ = advice(
        driver, ("retry-after", after), ("x-ratelimit-remaining-x", "0"), ("x-ratelimit-reset-x", reset)
    )
    assert wait == 0 or SHORTEST <= wait <= LONGEST
