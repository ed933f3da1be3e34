"""Reads a few numbers from a page of Prometheus metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

_SAMPLE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{.*\})?[ \t]+(\S+)")


def read(page: str, names: Collection[str]) -> dict[str, list[float]]:
    """Returns the samples of `names`, one for each set of labels; leaves out values that are not finite
    numbers.
    """
    found: dict[str, list[float]] = {}
    for line in page.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match[1] not in names:
            continue
        try:
            value = float(match[2])
        except ValueError:
            continue
        if math.isfinite(value):
            found.setdefault(match[1], []).append(value)
    return found


def count(samples: dict[str, list[float]], *names: str) -> int | None:
    """Returns the sum over all labels of the first of `names` that the page has."""
    for name in names:
        if name in samples:
            return max(0, round(sum(samples[name])))
    return None


def permille(samples: dict[str, list[float]], *names: str) -> int | None:
    """Returns the highest value, in per mille, of the first of `names` that the page has; the metric is between 0
    and 1.
    """
    for name in names:
        if name in samples:
            return min(1000, max(0, round(max(samples[name]) * 1000)))
    return None
