"""The scalar values of node.yaml. `parse` of each takes what YAML read; its ValueError says what is accepted."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from node_sidecar.preferences.schedule import DAY_MINUTES, DAYS

_MICRO = 1_000_000
_DURATION = re.compile(r"(\d+)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(MiB|GiB|MB|GB)")
_BYTES = {"MiB": 2**20, "GiB": 2**30, "MB": 10**6, "GB": 10**9}
_CLOCK = re.compile(r"(\d\d?):(\d\d)")


class Count(int):
    """A number of requests."""

    MOST = 100_000

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses a whole number from 0 to MOST. Raises ValueError."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= cls.MOST:
            raise ValueError(f"{value!r} is not a whole number from 0 to {cls.MOST}")
        return cls(value)


class Percent(float):
    """A percentage above 0, as `50%` or 50."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses `50%` or `50`, above 0 and up to 100, as a share. Raises ValueError."""
        try:
            number = float(str(value).removesuffix("%"))
        except ValueError:
            number = -1.0
        if isinstance(value, bool) or not 0 < number <= 100:
            raise ValueError(f"{value!r} is not a percentage like 50%")
        return cls(number)


class Seconds(float):
    """A duration, as `30s`, `5m` or `1h`."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses `30s`, `5m` or `1h`. Raises ValueError."""
        match = _DURATION.fullmatch(str(value))
        if match is None:
            raise ValueError(f"{value!r} is not a duration like 30s, 5m or 1h")
        return cls(int(match[1]) * _SECONDS[match[2]])


class Bytes(int):
    """A size, as `512MiB` or `8GiB`."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses `512MiB` or `8GiB`. Raises ValueError."""
        match = _SIZE.fullmatch(str(value))
        if match is None:
            raise ValueError(f"{value!r} is not a size like 512MiB or 8GiB")
        return cls(Decimal(match[1]) * _BYTES[match[2]])


class MicroUsd(int):
    """Micro-USD per million tokens. The file has USD per million tokens, 0 to 1,000,000, six decimals at most."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses USD per million tokens, at most a million. Raises ValueError."""
        try:
            amount = Decimal(str(value)) * _MICRO
        except InvalidOperation:
            amount = Decimal(-1)
        if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= Decimal(_MICRO) * _MICRO:
            raise ValueError(f"{value!r} is not an amount in USD per million tokens")
        if amount != amount.to_integral_value():
            raise ValueError(f"{value!r} has more than six decimals")
        return cls(amount)


class Day(int):
    """A day of the week, 0 for Monday; `mon` to `sun` in the file."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses one of DAYS as its index; Monday is 0. Raises ValueError."""
        if value not in DAYS:
            raise ValueError(f"{value!r} is not one of {', '.join(DAYS)}")
        return cls(DAYS.index(value))


class Minute(int):
    """Minutes after midnight, `00:00` to `24:00` in the file."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses `22:00` as the minute of the day; `24:00` is the end of the day. Raises ValueError."""
        # YAML 1.1 reads 22:00 without quotes as the number 1320 in base 60, which happens to be the minute.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= DAY_MINUTES:
            return cls(value)
        match = _CLOCK.fullmatch(str(value))
        minute = int(match[1]) * 60 + int(match[2]) if match is not None and int(match[2]) < 60 else -1
        if not 0 <= minute <= DAY_MINUTES:
            raise ValueError(f"{value!r} is not a time from 00:00 to 24:00")
        return cls(minute)


class StartMinute(Minute):
    """The minute at which hours begin."""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses the same, without `24:00`. Raises ValueError."""
        minute = super().parse(value)
        if minute == DAY_MINUTES:
            raise ValueError("24:00 is only an end")
        return minute


class TimeZone:
    """A time zone with the name that the file gives it."""

    __slots__ = ("name", "zone")

    def __init__(self, name: str, zone: tzinfo) -> None:
        self.name = name
        self.zone = zone

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Parses the IANA name of a time zone. Raises ValueError."""
        name = str(value)
        try:
            return cls(name, UTC if name == "UTC" else zoneinfo.ZoneInfo(name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is not known; it is a name like Europe/Berlin") from error
