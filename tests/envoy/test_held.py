"""`envoy/module/held.c`: the counts of each key, of each organisation and of all, against a plain sum."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from tests.envoy.native import Driver

OF_KEY, IN_ALL = 100, 250
KEYS = ("a", "b", "key-with-a-longer-name", "", "org/a", "org/b", "org/c", "other/a")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(KEYS), st.integers(0, 120)), max_size=60))
def test_each_key_each_organisation_and_all_have_a_bound(moves: list[tuple[int, str, int]]) -> None:
    """A move holds bytes in a slot, or returns those of the slot."""
    holding: dict[int, tuple[str, int]] = {}
    with Driver("held") as driver:
        for slot, key, size in moves:
            if slot in holding:
                driver.ask("give", slot, holding.pop(slot)[1])
                driver.ask("close", slot)
                continue
            driver.ask("open", slot, key)
            of_key = sum(held for whose, held in holding.values() if whose == key)
            organisation = key.partition("/")[0] if "/" in key else None
            beside = sum(held for whose, held in holding.values() if whose.startswith(f"{organisation}/"))
            in_all = sum(held for _, held in holding.values())
            exceeded = (
                of_key + size > OF_KEY,
                organisation and beside + size > IN_ALL // 2,
                in_all + size > IN_ALL,
            )
            expected = next((number for number, over in enumerate(exceeded, 1) if over), 0)
            assert driver.ask("take", slot, size, OF_KEY, IN_ALL) == [b"%d" % expected]
            if expected:
                driver.ask("close", slot)
            else:
                holding[slot] = (key, size)
        for slot, (_, size) in holding.items():
            driver.ask("give", slot, size)
            driver.ask("close", slot)


def test_more_than_any_bound_is_no_small_number() -> None:
    with Driver("held") as driver:
        driver.ask("open", 0, "a")
        for size in (OF_KEY + 1, 10**17, 999_999_999_999_999_999):
            assert driver.ask("take", 0, size, OF_KEY, IN_ALL) == [b"1"]
        assert driver.ask("take", 0, OF_KEY, OF_KEY, OF_KEY - 1) == [b"3"]
        assert driver.ask("take", 0, OF_KEY, OF_KEY, IN_ALL) == [b"0"]
        driver.ask("give", 0, OF_KEY)
        driver.ask("close", 0)


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_workers_hold_and_give_back_all_at_once(sanitizer: str) -> None:
    for threads, rounds in itertools.product((2, 5), (50, 2_000)):
        with Driver("held", "thread" if sanitizer == "thread" else "address") as driver:
            taken, over = driver.ask("storm", threads, rounds)
            assert int(taken) > 0
            assert over == b"0"
