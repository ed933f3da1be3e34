"""The limits' state as an earlier version wrote it, which counted money in micro-USD: made into today's.

A translator that was upgraded reads it once, after its start; what it writes itself is in nano-USD.
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
    """The fields of a reservation. Raises IndexError, TypeError."""
    made = list(fields)
    made[_COST] *= money.MICRO
    return made


def part(found: Mapping[str, Any]) -> dict[str, Any]:
    """A part of `Limiter.snapshot`. Raises LimitError, IndexError, TypeError, ValueError, AttributeError."""
    return {
        "counters": {name: _counter(name, state) for name, state in found.get("counters", {}).items()},
        "held": [(reservation(fields), steps) for fields, steps in found.get("held", ())],
    }


def _counter(limit_id: str, state: Sequence[int]) -> Sequence[int]:
    """`counters.*.state`: steps and amounts in turn, behind the head where a window slides."""
    metric, window = parts_of(limit_id)
    if metric is not Metric.COST_USD:
        return state
    made = list(state)
    first = 2 if windows.is_sliding(window) else 1
    made[first::2] = [amount * money.MICRO for amount in made[first::2]]
    return made
