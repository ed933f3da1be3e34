"""Numbers of another gateway's YAML, exact, and as YAML writes them best."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any


def decimal_of(value: Any) -> Decimal | None:
    """The number that a setting holds, perhaps as text; None if it holds none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def written(value: Decimal) -> int | float:
    """At most six decimals, as amounts of money have here."""
    rounded = value.quantize(Decimal("0.000001")).normalize()
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


def milliseconds(value: Any) -> str:
    """Seconds as a duration; empty unless they are more than none."""
    seconds = decimal_of(value)
    return f"{int(seconds * 1000)}ms" if seconds is not None and seconds > 0 else ""
