"""Parses and writes durations and money."""

from __future__ import annotations

import re
from decimal import Decimal

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
#: The maximum of digits before the decimal point.
_MOST_DIGITS = 18
#: The largest number that messages hold.
_MOST_UNITS = 2**63 - 1


def milliseconds(text: str) -> int:
    """Parses `500ms`, `1.5s`, `30s`, `2m`, `1h` or `30d` into milliseconds. Raises ValueError, which lists
    these.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("expected a duration such as 500ms, 30s, 2m, 1h or 30d")
    amount = bounded(Decimal(match[1])) * _MILLISECONDS[match[2]]
    if amount != amount.to_integral_value():
        raise ValueError("expected whole milliseconds, such as 500ms or 1.5s")
    return int(amount)


def seconds(text: str) -> int:
    """Parses a duration of whole seconds. Raises ValueError."""
    whole, rest = divmod(milliseconds(text), 1000)
    if rest:
        raise ValueError("expected whole seconds, such as 30s, 2m, 1h or 30d")
    return whole


def duration(ms: int) -> str:
    """Writes the shortest form that `milliseconds` reads back, e.g. 90000 as `90s` and 120000 as `2m`."""
    unit = next(unit for unit, factor in _MILLISECONDS.items() if ms % factor == 0)
    return f"{ms // _MILLISECONDS[unit]}{unit}" if ms else "0s"


def share(value: Decimal) -> Decimal:
    """Returns `value`. Raises ValueError if it is not a share in whole thousandths."""
    if not value.is_finite() or not 0 < value <= 10 or value.scaleb(3) != value.scaleb(3).to_integral_value():
        raise ValueError("expected shares of the amount such as 0.5, 0.8 and 1, with at most 3 decimals")
    return value


def thousandths(number: int) -> Decimal:
    """Writes a share in per mille as a fraction, without trailing zeros."""
    return _usd(number, 3)


def micro_usd(usd: Decimal) -> int:
    """Converts USD to micro-USD. Raises ValueError if that is not exact."""
    return _whole(usd, 6)


def usd(micro: int) -> Decimal:
    """Converts micro-USD to USD, without trailing zeros."""
    return _usd(micro, 6)


def micro_usd_per_million(usd: Decimal) -> int:
    """Converts USD per unit to micro-USD per million units. Raises ValueError if that is not exact."""
    return _whole(usd, 12)


def usd_per_unit(micro_per_million: int) -> Decimal:
    """Converts micro-USD per million units to USD per unit, without trailing zeros."""
    return _usd(micro_per_million, 12)


def bounded(value: Decimal) -> Decimal:
    """Returns `value`. Raises ValueError for a number like 1e999999999, which would fill memory when written
    out.
    """
    if value.is_finite() and value.adjusted() > _MOST_DIGITS:
        raise ValueError(f"expected a number of at most {_MOST_DIGITS} digits")
    return value


def _whole(usd: Decimal, decimals: int) -> int:
    scaled = bounded(usd).scaleb(decimals)
    if not scaled.is_finite() or scaled < 0 or scaled != scaled.to_integral_value():
        raise ValueError(f"expected an amount in USD of at most {decimals} decimals, such as 0.15")
    if scaled > _MOST_UNITS:
        raise ValueError(f"expected an amount of at most {_usd(_MOST_UNITS, decimals):f} USD")
    return int(scaled)


def _usd(whole: int, decimals: int) -> Decimal:
    amount = Decimal(whole).scaleb(-decimals)
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount.normalize()
