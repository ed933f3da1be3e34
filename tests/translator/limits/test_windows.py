"""The window that a moment belongs to."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from translator.errors import LimitError
from translator.limits import windows

BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = 3_600, 86_400


def bounds(window: str, year: int, *rest: int) -> tuple[str, str, float]:
    """Returns start and end in the window's zone for a moment of it, and the length in hours."""
    zone = ZoneInfo(window.partition("@")[2])
    start, end = windows.bounds(window)(datetime(year, *rest, tzinfo=zone).timestamp())  # type: ignore[misc, arg-type]
    texts = [datetime.fromtimestamp(each, zone).isoformat() for each in (start, end)]
    return texts[0], texts[1], (end - start) / HOUR


def test_fixed_windows_begin_at_multiples_of_their_length() -> None:
    assert windows.bounds("7200")(7_199.9) == (0, 7_200)
    assert windows.bounds("7200")(7_200) == (7_200, 14_400)
    start, _ = windows.bounds("86400")(datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(start, UTC) == datetime(2026, 3, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        # Summer time begins on 29 March 2026 and ends on 25 October.
        ((2026, 3, 1), ("2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00", 31 * 24 - 1)),
        ((2026, 3, 31, 23, 59, 59), ("2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00", 31 * 24 - 1)),
        ((2026, 10, 25, 12), ("2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00", 31 * 24 + 1)),
        ((2026, 12, 31, 23), ("2026-12-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00", 31 * 24)),
        ((2028, 2, 29), ("2028-02-01T00:00:00+01:00", "2028-03-01T00:00:00+01:00", 29 * 24)),
    ],
)
def test_months_in_berlin(moment: tuple[int, ...], expected: tuple[str, str, float]) -> None:
    assert bounds("month@Europe/Berlin", *moment) == expected


def test_a_month_of_berlin_is_not_one_of_utc() -> None:
    at = datetime(2026, 3, 31, 22, 30, tzinfo=UTC).timestamp()  # 1 April, 00:30 in Berlin
    assert windows.bounds("month@Europe/Berlin")(at)[0] == datetime(2026, 3, 31, 22, tzinfo=UTC).timestamp()
    assert windows.bounds("month@UTC")(at)[0] == datetime(2026, 3, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "hours"), [((2026, 3, 29, 12), 23), ((2026, 10, 25, 12), 25), ((2026, 6, 1, 0), 24)]
)
def test_days_where_the_clocks_change(moment: tuple[int, ...], hours: float) -> None:
    assert bounds("day@Europe/Berlin", *moment)[2] == hours


def test_the_hour_that_occurs_twice_lies_in_one_day() -> None:
    day = windows.bounds("day@Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    assert day(first.timestamp()) == day(first.replace(fold=1).timestamp())


def test_a_day_without_midnight_begins_with_its_first_moment() -> None:
    # Clocks in Beirut went from 00:00 to 01:00 on 30 March 2025.
    start, end, hours = bounds("day@Asia/Beirut", 2025, 3, 30, 12)
    assert (start, end, hours) == ("2025-03-30T01:00:00+03:00", "2025-03-31T00:00:00+03:00", 23)


def test_weeks_begin_on_monday() -> None:
    start, end, hours = bounds("week@Europe/Berlin", 2026, 3, 29, 23, 59)
    assert (start, end) == ("2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00")
    assert hours == 7 * 24 - 1


@given(
    at=st.floats(0, 4e9),
    window=st.sampled_from(
        [f"{unit}@{zone}" for unit in ("day", "week", "month") for zone in ("UTC", "Europe/Berlin", "Asia/Beirut")]
        + ["3600", "86400", "5000"]
    ),
)
def test_windows_follow_each_other_without_gap_or_overlap(at: float, window: str) -> None:
    of = windows.bounds(window)
    start, end = of(at)
    assert start <= at < end
    assert of(start) == (start, end)
    assert of(end)[0] == end
    assert of(start - 1)[1] == start


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "/etc/localtime", "a\0b", "."])
def test_an_unknown_time_zone_says_what_to_do(name: str) -> None:
    with pytest.raises(LimitError, match="IANA name, or install its tzdata"):
        windows.calendar("month", name)


def test_a_machine_without_tzdata(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(windows, "ZoneInfo", missing)
    with pytest.raises(LimitError, match="'Europe/Berlin' is not known on this machine"):
        windows.calendar("month", "Europe/Berlin")


@pytest.mark.parametrize("window", ["", "-", "year@UTC", "month", "-5", "1.5"])
def test_what_is_no_window(window: str) -> None:
    with pytest.raises(LimitError):
        windows.bounds(window)


def test_which_windows_slide() -> None:
    assert [each for each in ("1", "3599", "3600", "day@UTC", "-") if windows.is_sliding(each)] == ["1", "3599"]
    with pytest.raises(LimitError):
        windows.seconds(0)
