"""Hours of the week in the local time of a time zone.

Local time decides: `22:00` stays 22:00 when summer time begins or ends. An hour that occurs twice is open twice;
an hour that is skipped is not made up for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """The time from `start` until just before `end`, in minutes after midnight, on `days` (0 is Monday).

    An `end` at or before `start` is on the next day; `end` may be 1440 for midnight.
    """

    days: frozenset[int]
    start: int
    end: int

    def hold(self, weekday: int, minute: int) -> bool:
        """Returns whether `minute` of `weekday` is within these hours."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        since_yesterday = (weekday - 1) % 7 in self.days and minute < self.end
        return since_yesterday or (weekday in self.days and minute >= self.start)

    def __str__(self) -> str:
        hours = f"{_clock(self.start)}-{_clock(self.end)}"
        return hours if len(self.days) == 7 else f"{_days(self.days)} {hours}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`zone_name` is the name of `zone` as the owner wrote it; `hours` is not empty."""

    zone: tzinfo
    zone_name: str
    hours: tuple[Hours, ...]

    def open_at(self, moment: datetime) -> bool:
        """Returns whether the schedule is open at `moment`, which has a time zone."""
        local = moment.astimezone(self.zone)
        minute = local.hour * 60 + local.minute
        return any(hours.hold(local.weekday(), minute) for hours in self.hours)

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.hours))} ({self.zone_name})"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _days(days: frozenset[int]) -> str:
    """Writes days, with adjacent ones as a range: `mon-fri`, `mon,wed`."""
    parts, run = [], list[int]()
    for day in [*sorted(days), -1]:
        if run and day != run[-1] + 1:
            parts.append(DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}")
            run = []
        run.append(day)
    return ",".join(parts)
