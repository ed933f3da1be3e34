"""The windows of limits: the window in which a moment lies.

A window is written as text, which is also how it stands in the id of a limit: `60` (seconds),
`month@Europe/Berlin`, or `-` for none.

- Below one hour, a window slides in steps of a sixtieth of its length (see `counters.SlidingCounter`).
- From one hour on, a window is fixed and begins at multiples of its length since 1970-01-01T00:00Z.
- A calendar window is a day, a week (Monday to Sunday) or a month in a time zone. It is shorter or longer if the
  clocks change. If midnight does not exist, it begins with the day's first moment.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from translator.errors import LimitError

#: Returns start and end (Unix seconds, the end exclusive) of the window in which a moment lies.
Bounds = Callable[[float], tuple[float, float]]

#: The window of concurrency limits, which have none.
NO_WINDOW = "-"
FIXED_FROM_SECONDS = 3_600


def seconds(length: int) -> str:
    """Returns the text of a window of `length` seconds. Raises LimitError."""
    if length <= 0:
        raise LimitError(f"a window of {length} seconds")
    return str(length)


def calendar(unit: str, time_zone: str) -> str:
    """Returns the text of a calendar window; an empty time zone is UTC. Raises LimitError for an unknown zone."""
    _zone(time_zone or "UTC")
    return f"{unit}@{time_zone or 'UTC'}"


def is_sliding(window: str) -> bool:
    """Returns whether a window, as text, slides. Windows below an hour do."""
    return window.isdigit() and int(window) < FIXED_FROM_SECONDS


def bounds(window: str) -> Bounds:
    """Returns the bounds of a window that does not slide. Raises LimitError."""
    if window.isdigit():
        return _fixed(int(window))
    unit, separator, time_zone = window.partition("@")
    if not separator or unit not in CALENDARS:
        raise LimitError(f"{window!r} is not a window")
    return _calendar(CALENDARS[unit], _zone(time_zone))


def _fixed(length: int) -> Bounds:
    def bounds_at(at: float) -> tuple[float, float]:
        start = int(at // length) * length
        return start, start + length

    return bounds_at


def _calendar(beginning: Callable[[date], tuple[date, date]], zone: ZoneInfo) -> Bounds:
    def midnight(day: date) -> float:
        # If midnight does not exist, this is the moment at which the clocks change (PEP 495, fold=0).
        return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()

    def bounds_at(at: float) -> tuple[float, float]:
        first, after = beginning(datetime.fromtimestamp(at, zone).date())
        return midnight(first), midnight(after)

    return bounds_at


def _day(day: date) -> tuple[date, date]:
    return day, day + timedelta(days=1)


def _week(day: date) -> tuple[date, date]:
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=7)


def _month(day: date) -> tuple[date, date]:
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


#: By the words of the policy's Calendar: the first and last day of the window in which a day lies.
CALENDARS: dict[str, Callable[[date], tuple[date, date]]] = {"day": _day, "week": _week, "month": _month}


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"time zone {name!r} is not known on this machine: use an IANA name, or install its tzdata"
        raise LimitError(message) from None
