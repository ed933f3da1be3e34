"""The order in which bodies are read."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from translator.errors import Refusal
from translator.reading import queue
from translator.reading.queue import BodyQueue


def test_keys_take_turns() -> None:
    waiting: BodyQueue[str] = BodyQueue(100)
    for key, item in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")):
        waiting.put(key, item, 1)
    taken = []
    while (each := waiting.take()) is not None:
        taken.append(each[1])
    assert taken == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(waiting) == 0


def test_a_key_has_no_more_out_than_it_may() -> None:
    waiting: BodyQueue[str] = BodyQueue(2)
    for item in ("a1", "a2", "a3"):
        waiting.put("a", item, 1)
    assert [waiting.take(), waiting.take(), waiting.take()] == [("a", "a1"), ("a", "a2"), None]
    waiting.put("b", "b1", 1)
    assert waiting.take() == ("b", "b1")
    waiting.done("a")
    assert waiting.take() == ("a", "a3")


def test_what_is_removed_is_not_taken() -> None:
    waiting: BodyQueue[str] = BodyQueue(1)
    waiting.put("a", "a1", 5)
    assert waiting.remove("a", "a1")
    assert not waiting.remove("a", "a1")
    assert waiting.take() is None


def test_a_key_with_too_much_waiting() -> None:
    waiting: BodyQueue[int] = BodyQueue(1)
    for number in range(queue.KEY_NUMBER):
        waiting.put("a", number, 1)
    with pytest.raises(Refusal) as caught:
        waiting.put("a", 99, 1)
    assert (caught.value.status, caught.value.code, caught.value.headers["retry-after"]) == (
        429,
        "rate_limit_exceeded",
        "1",
    )
    waiting.put("b", 0, queue.KEY_BYTES)
    with pytest.raises(Refusal):
        waiting.put("b", 1, 1)


def test_too_much_waiting_in_all() -> None:
    waiting: BodyQueue[int] = BodyQueue(1)
    for number in range(queue.ALL_BYTES // queue.KEY_BYTES):
        waiting.put(f"k{number}", number, queue.KEY_BYTES)
    with pytest.raises(Refusal) as caught:
        waiting.put("z", 1, 1)
    assert caught.value.status == 503
    waiting.drain()
    waiting.put("z", 1, 1)


@given(st.lists(st.tuples(st.sampled_from(["put", "take", "done", "remove"]), st.sampled_from("abc"))))
def test_nothing_is_lost_or_counted_twice(steps: list[tuple[str, str]]) -> None:
    waiting: BodyQueue[int] = BodyQueue(2)
    expected: dict[str, list[int]] = {key: [] for key in "abc"}
    out = dict.fromkeys("abc", 0)
    for number, (step, key) in enumerate(steps):
        match step:
            case "put":
                waiting.put(key, number, number)
                expected[key].append(number)
            case "take":
                taken = waiting.take()
                if taken is None:
                    assert all(out[each] == 2 or not expected[each] for each in "abc")
                else:
                    assert expected[taken[0]].pop(0) == taken[1]
                    out[taken[0]] += 1
                    assert out[taken[0]] <= 2
            case "done":
                if out[key]:
                    waiting.done(key)
                    out[key] -= 1
            case _:
                if expected[key]:
                    assert waiting.remove(key, expected[key].pop())
        assert len(waiting) == sum(map(len, expected.values()))
    assert sorted(waiting.drain()) == sorted(itertools.chain.from_iterable(expected.values()))
