"""Prometheus' text format, version 0.0.4.

Prometheus' own library creates several objects for each sample: a page costs ten times as much, on the loop that
lets requests through.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import inf
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]


class Sample(NamedTuple):
    """One metric with one value, or with one value for each value of its only label. A counter's `name` ends in
    `_total`.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: float | Mapping[str, float]
    label: str = ""


@cache
def head(name: str, kind: Kind, text: str) -> str:
    """Returns the lines before the samples of a metric. They are cached: pass only constant arguments."""
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"


def labels(values: Mapping[str, str]) -> str:
    """Returns labels as they are written between braces, by name: `model="gpt-4.1",provider="openai"`."""
    return ",".join([f'{name}="{quoted(value)}"' for name, value in sorted(values.items())])


def quoted(value: str) -> str:
    """Returns a label's value as it is written between quotation marks."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def number(value: float) -> str:
    """Returns a value with all the digits of the nearest number that Prometheus can represent."""
    if -inf < value < inf:
        return str(float(value))
    return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"  # noqa: PLR0124 - NaN equals nothing


def written(sample: Sample) -> str:
    """Returns a metric's head and its lines."""
    name, value = sample.name, sample.value
    if isinstance(value, Mapping):
        begin = f'{name}{{{sample.label}="'
        lines = "".join([f'{begin}{quoted(key)}"}} {number(each)}\n' for key, each in value.items()])
        return head(name, sample.kind, sample.help) + lines
    return f"{head(name, sample.kind, sample.help)}{name} {number(value)}\n"
