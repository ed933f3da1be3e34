"""Reads numbers of another gateway's YAML exactly, and writes them in their shortest form."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any


def decimal_of(value: Any) -> Decimal | None:
    """Returns the number in a setting, which may be text; None if it is not a number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def written(value: Decimal) -> int | float:
    """Rounds to six decimals, the precision of money in the file."""
    rounded = value.quantize(Decimal("0.000001")).normalize()
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


def milliseconds(value: Any) -> str:
    """Writes seconds as a duration; empty for 0."""
    seconds = decimal_of(value)
    return f"{int(seconds * 1000)}ms" if seconds is not None and seconds > 0 else ""
