"""Limits: pure logic without I/O, in whole requests, tokens and nano-USD. See `limiter` for the rule."""

from translator.limits.limit import NO_LIMITS, Applicable, HolderLimit, LimitSet, Metric
from translator.limits.limiter import Limiter
from translator.limits.reservation import Refused, Remaining, Reservation

__all__ = [
    "NO_LIMITS",
    "Applicable",
    "HolderLimit",
    "LimitSet",
    "Limiter",
    "Metric",
    "Refused",
    "Remaining",
    "Reservation",
]
