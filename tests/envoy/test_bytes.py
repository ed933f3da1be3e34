"""`envoy/module/bytes.c` against Python's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings, strategies as st

from tests.envoy.native import Driver

few = st.lists(st.sampled_from([b"a", b"b", b":"])).map(b"".join)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("bytes") as running:
        yield running


@given(few, few.filter(bool), st.integers(0, 20))
def test_find_is_pythons_find(driver: Driver, text: bytes, needle: bytes, start: int) -> None:
    found = text.find(needle, start)
    assert driver.ask("find", text, needle, start) == ([b"%d" % found] if found >= 0 else [])


@given(few)
def test_parts_are_what_stands_between_separators(driver: Driver, text: bytes) -> None:
    parts = driver.ask("parts", b":", text)
    assert parts == text.removesuffix(b":").split(b":")


@settings(max_examples=300)
@given(st.one_of(st.text("0123456789+- .x\0", max_size=25), st.integers(0, 10**20).map(str)))
@example("9" * 18)
@example("9" * 19)
def test_a_number_is_up_to_18_digits_and_nothing_else(driver: Driver, text: str) -> None:
    is_number = text.isascii() and text.isdigit() and len(text) <= 18
    assert driver.ask("number", text) == ([b"%d" % int(text)] if is_number else [])


@given(few, few.filter(bool))
def test_begins_is_pythons_startswith(driver: Driver, text: bytes, prefix: bytes) -> None:
    assert driver.ask("begins", text, prefix) == [b"%d" % text.startswith(prefix)]
