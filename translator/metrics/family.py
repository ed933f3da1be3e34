"""Exposed metrics as plain values; the library that writes them is imported at the first scrape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Sample(NamedTuple):
    """One metric with one value, or with one value per value of its only label."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: float | Mapping[str, float]
    label: str = ""


class MetricFamily(NamedTuple):
    """A metric with all or some of its samples: name, labels, value. A counter's `name` ends in `_total`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[tuple[str, dict[str, str], float]]

    @classmethod
    def of(cls, sample: Sample) -> MetricFamily:
        name, value = sample.name, sample.value
        if isinstance(value, Mapping):
            return cls(name, sample.kind, sample.help, [(name, {sample.label: key}, value[key]) for key in value])
        return cls(name, sample.kind, sample.help, [(name, {}, value)])
