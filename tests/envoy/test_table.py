"""`envoy/module/table.c` against a dictionary."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Argument, Driver


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("table") as running:
        yield running


def check(driver: Driver, operations: list[tuple[str, int]]) -> None:
    """Puts only what is not there yet, like the module."""
    model: dict[int, int] = {}
    command: list[Argument] = []
    expected: list[int] = []
    for wanted, number in operations:
        what = "find" if wanted == "put" and number in model else wanted
        command += (what, number)
        if what == "put":
            model[number] = len(command) // 2
        elif what == "remove":
            model.pop(number, None)
        else:
            expected.append(model.get(number, 0))
    for number in {number for _, number in operations}:
        command += ("find", number)
        expected.append(model.get(number, 0))
    assert driver.ask(*command) == [b"%d" % value for value in [*expected, len(model)]]


@given(st.lists(st.tuples(st.sampled_from(["put", "put", "remove", "find"]), st.integers(1, 200))))
def test_it_is_a_dictionary(driver: Driver, operations: list[tuple[str, int]]) -> None:
    check(driver, operations)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_one_with_thousands_of_entries_that_come_and_go(driver: Driver, seed: int) -> None:
    chance = random.Random(seed)
    operations = []
    for number in range(1, 4000):
        operations.append(("put", number))
        operations.append((chance.choice(["remove", "find", "find"]), chance.randint(1, number)))
    check(driver, operations)
