"""`envoy/module/redact.c` against a replacement of the whole text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Driver

SECRET = b"sk-ss/a1\\x"


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("redact") as running:
        yield running


def escaped(byte: int) -> bytes:
    """Returns every spelling of one byte of the secret."""
    code = b"".join(
        b"[%c%c]" % (digit, digit ^ 0x20) if digit > 0x39 else b"%c" % digit for digit in b"%02x" % byte
    )
    ways = [re.escape(bytes([byte])), rb"\\u00" + code]
    if byte in b'/"\\':
        ways.append(rb"\\" + re.escape(bytes([byte])))
    return b"(?:" + b"|".join(ways) + b")"


PATTERN = re.compile(b"".join(escaped(byte) for byte in SECRET))

parts = st.sampled_from(
    [SECRET, b"sk-", b"s", b"\\", b"\\u", b"\\u0073", b"\\u006b-ss\\/a1", b"k-ss/a1", b"\\\\x", b"\n\n", b"x"]
) | st.binary(max_size=3)


@given(st.lists(parts, max_size=12).map(b"".join), st.lists(st.integers(0, 60), max_size=6))
def test_it_is_replaced_wherever_pieces_meet(driver: Driver, text: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    passed = b"".join(driver.ask(SECRET, *pieces))
    assert len(passed) == len(text)
    assert passed == PATTERN.sub(lambda found: b"*" * len(found[0]), text)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_nothing_else_is_touched_or_kept_back(driver: Driver, pieces: list[bytes]) -> None:
    """Except for a possible beginning of the secret."""
    passed = driver.ask(b"0123456789", *pieces)
    assert b"".join(passed) == b"".join(pieces)
    for at, piece in enumerate(pieces[:-1]):
        if not set(piece) & set(b"0\\"):
            assert b"".join(passed[: at + 1]) == b"".join(pieces[: at + 1])
            break


def test_it_is_found_behind_a_backslash_that_is_escaped(driver: Driver) -> None:
    assert driver.ask(b"sk-0123456789", b"\\\\u0073k-0123456789") == [b"\\" + b"*" * 18]


def test_a_short_secret_is_none(driver: Driver) -> None:
    assert driver.ask(b"1234567", b"1234567") == [b"1234567"]
