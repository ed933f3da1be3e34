"""Cached answers in memory stay within their bytes, and the least recently used goes first."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from translator.cache.answers import CachedAnswer
from translator.cache.memory import MemoryStore


def answer(size: int = 100, until: float = 1_000.0) -> CachedAnswer:
    return CachedAnswer(
        streams=False, content_type="application/json", body=b"x" * size, usage=b"", at=0, until=until, saved=1
    )


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_there_until_its_time_is_over() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    cached = answer(until=10.0)
    store.put(b"a", "rt", cached)
    assert store.get(b"a") is cached
    assert store.get(b"b") is None
    clock.now = 10.0
    assert store.get(b"a") is None
    assert (len(store), store.bytes) == (0, 0)


def test_the_one_that_was_not_used_for_longest_makes_room() -> None:
    size = answer().size
    store = MemoryStore(3 * size, Clock())
    for key in (b"a", b"b", b"c"):
        store.put(key, "rt", answer())
    store.get(b"a")
    store.put(b"d", "rt", answer())
    assert [store.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert (store.evicted, store.bytes) == (1, 3 * size)


def test_a_route_stays_within_its_own_bytes() -> None:
    size = answer().size
    store = MemoryStore(10 * size, Clock())
    store.put(b"other", "rt_2", answer())
    for key in (b"a", b"b", b"c"):
        store.put(key, "rt_1", answer(), 2 * size)
    assert [store.get(key) is not None for key in (b"a", b"b", b"c", b"other")] == [False, True, True, True]


def test_what_does_not_fit_is_not_kept_and_replaces_nothing_else() -> None:
    store = MemoryStore(2_000, Clock())
    assert store.put(b"a", "rt", answer())
    assert not store.put(b"b", "rt", answer(5_000))
    assert store.get(b"a") is not None
    assert not store.put(b"a", "rt", answer(5_000))
    assert store.get(b"a") is None


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from(["rt_1", "rt_2"]), st.integers(1, 4_000), st.booleans()),
        max_size=200,
    )
)
def test_it_counts_what_it_holds(steps: list[tuple[int, str, int, bool]]) -> None:
    store = MemoryStore(12_000, Clock())
    for number, route, size, put in steps:
        key = b"%d" % number
        if put:
            store.put(key, route, answer(size, until=1.0 + number % 3), 6_000 if route == "rt_1" else 0)
        else:
            store.get(key)
        there = [(route, cached) for route, cached in store._cached.values()]
        assert store.bytes == sum(cached.size for _, cached in there) <= 12_000
        assert sum(cached.size for route, cached in there if route == "rt_1") <= 6_000


@pytest.mark.slow
def test_a_million_answers_stay_within_their_bytes() -> None:
    store = MemoryStore(8 * 1024 * 1024, Clock())
    cached = answer()
    for number in range(1_000_000):
        store.put(b"%d" % number, "rt", cached)
    assert store.bytes <= store.max_bytes
    assert len(store) == store.max_bytes // cached.size
    assert store.evicted == 1_000_000 - len(store)


@pytest.mark.slow
def test_the_memory_that_is_taken_is_no_more_than_what_is_counted() -> None:
    store = MemoryStore(8 * 1024 * 1024, Clock())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20_000):
            body = b"%d" % number + bytes(number % 500)
            cached = CachedAnswer(
                False, "application/json", body, b"", number / 7, number / 3 + 1_000.0, number + 1_000
            )
            store.put(sha256(body).digest() + b"p", f"rt_{number % 7}", cached)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert store.evicted
    assert 0 < taken <= store.bytes <= store.max_bytes
