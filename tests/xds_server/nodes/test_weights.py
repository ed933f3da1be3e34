"""Weights: free capacity times boost, in steps."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from trunkline_proto.node.v1 import registry_pb2 as pb

from xds_server.nodes.weights import MAX_WEIGHT, STEP, capacity, shown, weight

UINT32 = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (pb.Load(concurrency_limit=8, kv_cache_permille=1001), 8.0),
        (pb.Load(concurrency_limit=8, in_flight=3, queued=1, kv_cache_permille=1001), 4.0),
        (pb.Load(concurrency_limit=8, in_flight=4, kv_cache_permille=500), 2.0),
        (pb.Load(in_flight=6, kv_cache_permille=1001), 10.0),
        (pb.Load(concurrency_limit=8, in_flight=8, queued=30, kv_cache_permille=1001), 0.1),
        (pb.Load(concurrency_limit=8, kv_cache_permille=1000), 0.1),
        (pb.Load(concurrency_limit=2**32 - 1, kv_cache_permille=0), 1_024.0),
    ],
)
def test_capacity(load: pb.Load, expected: float) -> None:
    assert capacity(load) == expected


@given(limit=UINT32, running=UINT32, queued=UINT32, kv=st.integers(0, 1001), boost=st.integers(10, 1_000))
def test_weights_stay_in_their_bounds(limit: int, running: int, queued: int, kv: int, boost: int) -> None:
    load = pb.Load(concurrency_limit=limit, in_flight=running, queued=queued, kv_cache_permille=kv)
    assert 1 <= weight(capacity(load), boost) <= MAX_WEIGHT


@given(st.lists(st.floats(0.1, 1_024.0), min_size=1))
def test_what_is_shown_is_never_a_step_off_and_moves_by_steps_only(wanted: list[float]) -> None:
    before: float | None = None
    for each in wanted:
        now = shown(before, each)
        assert max(now, each) / min(now, each) < STEP or now == each
        if before is not None and now != before:
            assert max(now, before) / min(now, before) >= STEP * 0.999
        before = now


def test_boost_counts_as_capacity() -> None:
    assert weight(8.0, 100) == 80
    assert weight(8.0, 300) == 240
    assert weight(0.1, 100) == 1
