from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, strategies as st

from node_sidecar.preferences.schedule import DAY_MINUTES, Hours, Schedule

EVERY_DAY = frozenset(range(7))
#: Changes to and from summer time: Europe, America, half an hour on Lord Howe Island, a skipped midnight.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "UTC")
CHANGES = (
    datetime(2025, 3, 30, 1, 0, tzinfo=UTC),
    datetime(2025, 10, 26, 1, 0, tzinfo=UTC),
    datetime(2025, 3, 9, 7, 0, tzinfo=UTC),
    datetime(2025, 11, 2, 6, 0, tzinfo=UTC),
    datetime(2025, 4, 5, 15, 0, tzinfo=UTC),
    datetime(2025, 10, 4, 15, 30, tzinfo=UTC),
    datetime(2025, 9, 7, 4, 0, tzinfo=UTC),
)
MOMENTS = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes),
    st.sampled_from(CHANGES),
    st.integers(-3 * DAY_MINUTES, 3 * DAY_MINUTES),
)
HOURS = st.builds(
    Hours,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, DAY_MINUTES - 1),
    st.integers(1, DAY_MINUTES),
)


def _schedule(zone: str, *hours: Hours) -> Schedule:
    return Schedule(zoneinfo.ZoneInfo(zone), zone, hours)


def _berlin(*hours: Hours) -> Schedule:
    return _schedule("Europe/Berlin", *hours)


@given(st.sampled_from(ZONES), HOURS, MOMENTS)
@example("Europe/Berlin", Hours(EVERY_DAY, 120, 180), CHANGES[0])
def test_the_clock_on_the_wall_decides(zone: str, hours: Hours, moment: datetime) -> None:
    """Compares the schedule with a second definition: some interval has begun on the wall clock, and its length
    has not passed.
    """
    wall = moment.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)
    length = (hours.end - hours.start) % DAY_MINUTES or DAY_MINUTES
    expected = False
    for back in range(3):
        day = wall.date() - timedelta(days=back)
        start = datetime(day.year, day.month, day.day) + timedelta(minutes=hours.start)
        expected |= day.weekday() in hours.days and start <= wall < start + timedelta(minutes=length)
    assert _schedule(zone, hours).open_at(moment) == expected


@given(st.sampled_from(ZONES), HOURS, MOMENTS)
def test_complementary_hours_are_never_both_open_and_never_both_closed(
    zone: str, hours: Hours, moment: datetime
) -> None:
    if hours.start == hours.end % DAY_MINUTES:
        return  # a whole day has no complement
    daily = Hours(EVERY_DAY, hours.start, hours.end)
    rest = Hours(EVERY_DAY, hours.end % DAY_MINUTES, hours.start or DAY_MINUTES)
    assert _schedule(zone, daily).open_at(moment) != _schedule(zone, rest).open_at(moment)


@given(st.sampled_from(ZONES), HOURS, MOMENTS)
def test_it_does_not_matter_in_which_zone_a_moment_is_given(zone: str, hours: Hours, moment: datetime) -> None:
    schedule = _schedule(zone, hours)
    assert schedule.open_at(moment) == schedule.open_at(moment.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo")))


@pytest.mark.parametrize(
    ("change", "open_minutes"),
    [
        (datetime(2025, 3, 29, 12, tzinfo=UTC), 7 * 60),  # the night to summer time lacks an hour
        (datetime(2025, 10, 25, 12, tzinfo=UTC), 9 * 60),  # the night from it has one twice
        (datetime(2025, 6, 1, 12, tzinfo=UTC), 8 * 60),
    ],
)
def test_a_night_is_as_long_as_the_clock_makes_it(change: datetime, open_minutes: int) -> None:
    night = _berlin(Hours(EVERY_DAY, 22 * 60, 6 * 60))
    minutes = [change + timedelta(minutes=minute) for minute in range(DAY_MINUTES)]
    assert sum(night.open_at(minute) for minute in minutes) == open_minutes


def test_hours_past_midnight_belong_to_the_day_they_start_on() -> None:
    friday = _berlin(Hours(frozenset({4}), 22 * 60, 6 * 60))
    assert friday.open_at(datetime(2025, 6, 6, 21, 0, tzinfo=UTC))  # Friday 23:00
    assert friday.open_at(datetime(2025, 6, 7, 3, 59, tzinfo=UTC))  # Saturday 05:59
    assert not friday.open_at(datetime(2025, 6, 7, 4, 0, tzinfo=UTC))
    assert not friday.open_at(datetime(2025, 6, 6, 3, 0, tzinfo=UTC))  # Friday 05:00


def test_it_reads_as_its_owner_wrote_it() -> None:
    assert str(_berlin(Hours(frozenset({0, 1, 2, 4}), 1320, 360), Hours(EVERY_DAY, 0, 1440))) == (
        "mon-wed,fri 22:00-06:00, 00:00-24:00 (Europe/Berlin)"
    )
