"""A limit in one word, `METRIC[/WINDOW[/TIME_ZONE]][@MODEL]=AMOUNT`, taken apart; nothing is checked."""

from __future__ import annotations

from typing import Any


def fields(name: str) -> dict[str, Any]:
    """What stands before `=`, as fields of config.model.Limit."""
    what, _, model = name.partition("@")
    metric, _, window = what.partition("/")
    per, _, time_zone = window.partition("/")
    given = {"metric": metric, "per": per, "time_zone": time_zone, "model": model}
    return {field: value for field, value in given.items() if value}


def whole(text: str) -> dict[str, Any]:
    """All of it. Raises ValueError: there is no amount."""
    what, equals, amount = text.rpartition("=")
    if not equals:
        raise ValueError("expected METRIC/WINDOW=AMOUNT, such as requests/60s=600")
    return {**fields(what), "amount": amount}
