"""Histograms: the error of a percentile, and that they add up."""

from __future__ import annotations

import math

from hypothesis import given, strategies as st

from xds_server.usage import histogram

TIMES = st.integers(min_value=1, max_value=10**12)


def counted(times: list[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for time in times:
        index = histogram.bucket(time)
        counts[index] = counts.get(index, 0) + 1
    return counts


@given(st.lists(TIMES, min_size=1, max_size=300), st.floats(min_value=0, max_value=1))
def test_a_percentile_is_within_the_stated_error(times: list[int], share: float) -> None:
    exact = sorted(times)[max(1, math.ceil(share * len(times))) - 1]
    found = histogram.percentile(counted(times), share)
    assert abs(found - exact) <= exact * histogram.ERROR + 0.5 + exact * 1e-9  # rounded to whole microseconds
    assert histogram.ERROR < 0.05


@given(st.lists(st.lists(TIMES, max_size=50), max_size=6))
def test_parts_that_were_stored_add_up_to_the_whole(parts: list[list[int]]) -> None:
    whole = counted([time for part in parts for time in part])
    assert histogram.merge(histogram.encode(counted(part)) for part in parts) == whole


def test_nothing_has_no_percentile() -> None:
    assert histogram.percentile({}, 0.5) == 0
