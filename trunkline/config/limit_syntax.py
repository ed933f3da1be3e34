"""Splits a limit in the short syntax, `METRIC[/WINDOW[/TIME_ZONE]][:EACH][@MODEL]=AMOUNT[,alerts=SHARE/…][,soft]`,
without checking its parts.
"""

from __future__ import annotations

import re
from typing import Any

#: The parts after the amount, the last one first. A model's name may contain commas and equals signs, an amount
#: neither.
_OPTION = re.compile(r",(?:soft|alerts=(?P<shares>[^=,@]*))\Z")


def fields(name: str) -> dict[str, Any]:
    """Splits the part before `=` into fields of config.model.LimitSpec."""
    what, _, model = name.partition("@")
    what, _, each = what.partition(":")
    metric, _, window = what.partition("/")
    per, _, time_zone = window.partition("/")
    given = {"metric": metric, "per": per, "time_zone": time_zone, "model": model, "each": each}
    return {field: value for field, value in given.items() if value}


def whole(text: str) -> dict[str, Any]:
    """Splits a whole limit. Raises ValueError if there is no amount."""
    options: dict[str, Any] = {}
    while option := _OPTION.search(text):
        text = text[: option.start()]
        if option["shares"] is None:
            options["soft"] = True
        else:
            options["alerts"] = option["shares"].split("/")
    what, equals, amount = text.rpartition("=")
    if not equals:
        raise ValueError("expected METRIC/WINDOW=AMOUNT, such as requests/60s=600")
    return {**fields(what), "amount": amount, **options}
