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


def escaped(byte: int, *, first: bool) -> bytes:
    """Returns every spelling of one byte of the secret. JSON inside of JSON escapes backslashes again."""
    code = b"".join(
        b"[%c%c]" % (digit, digit ^ 0x20) if digit > 0x39 else b"%c" % digit for digit in b"%02x" % byte
    )
    backslashes = rb"\\" if first else rb"\\{1,8}"
    ways = [re.escape(bytes([byte])), backslashes + b"u00" + code, b"%" + code]
    if byte in b'/"\\':
        ways.append(backslashes + re.escape(bytes([byte])))
    return b"(?:" + b"|".join(ways) + b")"


PATTERN = re.compile(b"".join(escaped(byte, first=not at) for at, byte in enumerate(SECRET)))

parts = st.sampled_from(
    [
        *(
            SECRET,
            b"sk-",
            b"s",
            b"\\",
            b"\\u",
            b"\\u0073",
            b"\\u006b-ss\\/a1",
            b"k-ss/a1",
            b"\\\\x",
            b"\n\n",
            b"x",
        ),
        *(b"%", b"%2", b"%73k-ss%2Fa1", b"k-ss\\\\\\/a1", b"\\\\u002dss/a1", b"%2f", b"%5Cx"),
    ]
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
    """Only what could be the beginning of the secret is held back."""
    passed = driver.ask(b"0123456789", *pieces)
    assert b"".join(passed) == b"".join(pieces)
    for at, piece in enumerate(pieces[:-1]):
        if not set(piece) & set(b"0\\"):
            assert b"".join(passed[: at + 1]) == b"".join(pieces[: at + 1])
            break


def test_it_is_found_behind_a_backslash_that_is_escaped(driver: Driver) -> None:
    assert driver.ask(b"sk-0123456789", b"\\\\u0073k-0123456789") == [b"\\" + b"*" * 18]


@pytest.mark.parametrize(
    "quoted",
    [
        b"/+ab==Key-12",
        b"%2F%2Bab%3D%3DKey-12",
        b"%2f%2bab%3d%3dKey-12",
        b"\\/+ab\\u003d\\u003DKey-12",
        rb"\/+ab\\u003d\\u003dKey\\u002d12",
        rb"\/\\\\u002bab\\\\u003d=Key-12",
    ],
)
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_it_is_found_as_urls_and_json_inside_of_json_write_it(driver: Driver, quoted: bytes, piece: int) -> None:
    text = b"?key=" + quoted + b'&a=%2"}'
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
    stars = b"*" * len(quoted)
    assert b"".join(driver.ask(b"/+ab==Key-12", *pieces)) == b"?key=" + stars + b'&a=%2"}'


def test_a_percent_sign_keeps_nothing_back_without_a_secret_that_urls_encode(driver: Driver) -> None:
    assert driver.ask(b"sk-0123456789", b"100 %", b"%2D", b"") == [b"100 %", b"%2D", b""]


def test_a_short_secret_is_none(driver: Driver) -> None:
    assert driver.ask(b"1234567", b"1234567") == [b"1234567"]
