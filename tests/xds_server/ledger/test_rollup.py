"""Which requests count as errors, and the speed of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.xds_server.ledger.usage import usage
from xds_server.ledger.rollup import SUMS, Series, errors, roll_up
from xds_server.usage import records


def columns(**fields: Any) -> records.Columns:
    return records.columns([usage(**fields)])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, False),
        ({"status": 400}, True),
        ({"status": 503, "response_flags": "UH"}, True),
        ({"response_flags": "UC"}, True),
        ({"response_flags": "DC"}, False),
        ({"response_flags": "DC,SI"}, True),
        ({"status": 0, "expired": True}, True),
    ],
)
def test_errors(fields: dict[str, Any], error: bool) -> None:
    assert errors(columns(**fields)) == [error]


@pytest.mark.parametrize(
    ("fields", "speed"),
    [
        ({"stream": True}, (50, 2_000_000)),
        ({"stream": False}, (50, 2_400_000)),
        ({"stream": True, "cache_hit": True}, (0, 0)),
        ({"stream": True, "first_byte_us": 2_400_000}, (0, 0)),
        ({"expired": True, "first_byte_us": 0}, (0, 0)),
        ({"completion_tokens": 0}, (0, 0)),
    ],
)
def test_the_speed_of_answering(fields: dict[str, Any], speed: tuple[int, int]) -> None:
    (totals,) = roll_up(columns(**fields), {}).values()
    sums = dict(zip(SUMS, totals.sums, strict=True))
    assert (sums["answer_tokens"], sums["answer_us"]) == speed


def test_series_that_look_alike_when_joined_are_apart() -> None:
    one = Series("org", "k", "r", "a", "b", "", "")
    assert one.digest() == Series("org", "k", "r", "a", "b", "", "").digest()
    for other in (Series("org", "k", "r", "ab", "", "", ""), Series("org", "k", "r", "a", "", "b", "")):
        assert one.digest() != other.digest()
