"""Converts the limits' state of an earlier version, which counted money in micro-USD, to the current format.

An upgraded translator reads that state once, at its start; what it writes itself is in nano-USD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from translator import money
from translator.limits import windows
from translator.limits.limit import Metric, parts_of
from translator.limits.reservation import Reservation

_COST = Reservation.__struct_fields__.index("cost")


def reservation(fields: Sequence[Any]) -> list[Any]:
    """Converts the fields of a reservation. Raises IndexError, TypeError."""
    made = list(fields)
    made[_COST] *= money.MICRO
    return made


def part(found: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a part of `Limiter.snapshot`. Raises LimitError, IndexError, TypeError, ValueError,
    AttributeError.
    """
    return {
        "counters": {name: _counter(name, state) for name, state in found.get("counters", {}).items()},
        "held": [(reservation(fields), steps) for fields, steps in found.get("held", ())],
    }


def _counter(limit_id: str, state: Sequence[int]) -> Sequence[int]:
    """Converts the state of a counter: steps and amounts in turn, after the head if the window slides."""
    metric, window = parts_of(limit_id)
    if metric is not Metric.COST_USD:
        return state
    made = list(state)
    first = 2 if windows.is_sliding(window) else 1
    made[first::2] = [amount * money.MICRO for amount in made[first::2]]
    return made
