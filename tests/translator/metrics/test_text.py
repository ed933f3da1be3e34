"""The pages are what Prometheus' own library reads, and would have written."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import example, given, strategies as st
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from translator.metrics import text
from translator.metrics.text import Sample

#: The library's parser of lines knows no other line breaks, and strips blanks around values of labels.
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), max_size=20)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.booleans()


class Registry:
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def read(page: str) -> list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]:
    return [
        (
            family.name,
            family.type,
            family.documentation,
            [(each.name, each.labels, each.value) for each in family.samples],
        )
        for family in text_string_to_metric_families(page)
    ]


@given(st.dictionaries(VALUES, NUMBERS, max_size=4))
@example({'a"b': 1.0, "c\\d": 2, "e\nf": 3.5, "\\n": 0})
@example({"": math.inf, "a": -math.inf, "b": 2**53 + 1, "c": True})
def test_a_label_and_its_numbers_are_those_of_the_library(values: dict[str, float]) -> None:
    values = {key: value for key, value in values.items() if not math.isnan(value)}  # equals nothing
    page = text.written(Sample("some_total", "counter", "Some: one \\ two\nthree.", values, "what"))
    metric = Metric("some", "Some: one \\ two\nthree.", "counter")
    for key, value in values.items():
        metric.add_sample("some_total", {"what": key}, value)
    assert read(page) == read(generate_latest(Registry(metric)).decode())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0.0"),
        (2**53, "9007199254740992.0"),
        (0.25, "0.25"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (True, "1.0"),
    ],
)
def test_a_number(value: float, expected: str) -> None:
    assert text.number(value) == expected
    assert text.written(Sample("a", "gauge", "A.", value)) == f"# HELP a A.\n# TYPE a gauge\na {expected}\n"


def test_a_metric_without_values_is_only_a_head() -> None:
    assert text.written(Sample("a", "gauge", "A.", {}, "what")) == text.head("a", "gauge", "A.")


def test_several_labels() -> None:
    assert text.labels({"provider": "", "model": 'a"b'}) == 'model="a\\"b",provider=""'
