from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given, strategies as st
from prometheus_client.parser import text_string_to_metric_families

from translator.metrics.histograms import MAX_SERIES, OTHER, Family, Histogram, add, label

BOUNDS = (1, 4, 16, 64)
VALUES = st.lists(st.integers(0, 2**60), max_size=40) | st.lists(st.integers(0, 70), max_size=40)


@pytest.mark.slow
@given(st.lists(VALUES, max_size=5))
def test_counts_are_those_of_counting_one_by_one(batches: list[list[int]]) -> None:
    first, second = Histogram(BOUNDS), Histogram(BOUNDS)
    expected = [0] * (len(BOUNDS) + 1)
    for batch in batches:
        add(batch, (first, second))
        for value in batch:
            expected[bisect_left(BOUNDS, value)] += 1
    assert first.counts == second.counts == expected
    assert first.sum == second.sum == sum(map(sum, batches))


def family(**labels: bool) -> Family:
    is_open = frozenset(name for name, each in labels.items() if each)
    return Family("seconds", "A text.", tuple(labels), (10, 1000), open_labels=is_open, scale=1000)


def samples(of: Family) -> dict[tuple[str, ...], float]:
    (reported,) = text_string_to_metric_families("".join(of.pieces()))
    return {(each.name, *each.labels.values()): each.value for each in reported.samples}


def test_buckets_are_cumulative_and_in_the_exposed_unit() -> None:
    reported = family(model=True)
    add([5, 10, 11, 5000], (reported.of("gpt"),))
    assert samples(reported) == {
        ("seconds_bucket", "gpt", "0.01"): 2,
        ("seconds_bucket", "gpt", "1.0"): 3,
        ("seconds_bucket", "gpt", "+Inf"): 4,
        ("seconds_sum", "gpt"): 5.026,
        ("seconds_count", "gpt"): 4,
    }


def test_names_beyond_the_bound_are_counted_together_and_none_is_lost() -> None:
    reported = family(model=True, outcome=False)
    for number in range(MAX_SERIES + 500):
        add([1], (reported.of(f"model-{number}", "ok"),))
    add([1], (reported.of("model-0", "ok"),))
    counts = {
        tuple(labels): each for (name, *labels), each in samples(reported).items() if name == "seconds_count"
    }
    assert len(counts) == MAX_SERIES + 1
    assert counts[OTHER, "ok"] == 500
    assert counts["model-0", "ok"] == 2
    assert sum(counts.values()) == MAX_SERIES + 501


@given(st.text(max_size=400) | st.text(st.characters(categories=["Cs", "Cc", "Zl"]), max_size=5))
def test_a_label_is_short_printable_and_can_be_encoded(text: str) -> None:
    made = label(text)
    assert len(made) <= 128
    assert made.isprintable()
    made.encode()  # raises for half of a surrogate pair
    assert label(made) == made
