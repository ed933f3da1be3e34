"""`envoy/module/frames.c` and `translator.checks.frames` read what the other one writes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings, strategies as st

from tests.envoy.native import Driver
from translator.checks.answers import Admitted, Allowed, refused
from translator.checks.frames import ASKED, FrameKind, FrameReader
from translator.message import Request, Response

LONGEST = 1 << 20
numbers = st.integers(1, 2**59)
lines = st.text(st.characters(codec="latin-1", exclude_characters="\n\r"), max_size=20)
headers = st.dictionaries(st.from_regex("[a-z-]{1,10}", fullmatch=True), lines, max_size=3)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("frames") as running:
        yield running


def joined(headers: dict[str, str]) -> bytes:
    return "\n".join(f"{name}: {value}" for name, value in headers.items()).encode("latin-1")


@given(numbers, lines, lines, lines, headers)
def test_what_python_allows_is_read(
    driver: Driver, number: int, route: str, note: str, model: str, headers: dict[str, str]
) -> None:
    frame = Allowed(route, "key", note, "/path", model=model, headers=headers).encode(number)
    head = f"\n\n\n{route}\nkey\n{note}\n/path\n-\n{model}\n\n\n".encode("latin-1") + joined(headers)
    assert driver.ask("answers", frame) == [b"%d" % number, b"200", head, b"", b"partial", b"0"]


@given(numbers, st.integers(400, 599), headers, st.binary(max_size=100))
def test_what_python_refuses_is_read(
    driver: Driver, number: int, status: int, headers: dict[str, str], body: bytes
) -> None:
    frame = refused(number, Response(status, headers, body))
    assert driver.ask("answers", frame) == [
        *(b"%d" % number, b"%d" % status, joined(headers), body),
        *(b"partial", b"0"),
    ]


@given(
    numbers,
    st.sampled_from([FrameKind.WHOLE, FrameKind.HEAD]),
    st.lists(lines, min_size=len(ASKED), max_size=len(ASKED)),
    st.binary(max_size=1000),
)
def test_a_check_is_read_by_python(
    driver: Driver, number: int, kind: FrameKind, values: list[str], body: bytes
) -> None:
    head = "\n".join(["POST", "/v1/x", *values]).encode("latin-1")
    (frame,) = driver.ask("check", number, kind.value, head, body)
    ((read, read_kind, check),) = FrameReader(1000).feed(frame)
    assert isinstance(check, Request)
    assert (read, read_kind) == (number, kind)
    assert (check.method, check.target, check.body) == ("POST", b"/v1/x", body)
    sent = zip(ASKED, values, strict=True)
    assert check.headers == {name: value.encode("latin-1") for name, value in sent if value}


@given(numbers, st.text(st.characters(codec="ascii"), max_size=128))
def test_an_end_notice_is_read_by_python(driver: Driver, number: int, request_id: str) -> None:
    (frame,) = driver.ask("check", number, FrameKind.END.value, request_id.encode(), b"")
    assert list(FrameReader(1000).feed(frame)) == [(number, FrameKind.END, request_id)]


def test_what_python_admits_is_read(driver: Driver) -> None:
    frame = Admitted("key-1").encode(7)
    assert driver.ask("answers", frame) == [b"7", b"100", b"key-1", b"", b"partial", b"0"]


@given(st.lists(st.binary(max_size=50), max_size=4), st.data())
def test_half_a_frame_waits_for_its_other_half(driver: Driver, bodies: list[bytes], data: st.DataObject) -> None:
    frames = [refused(number, Response(429, body=body)) for number, body in enumerate(bodies, 1)]
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    texts = driver.ask("answers", whole[:cut])
    read = sum(1 for end in range(len(frames)) if sum(map(len, frames[: end + 1])) <= cut)
    assert texts[3:-2:4] == bodies[:read]
    assert texts[-2:] == [b"partial", b"%d" % (cut - sum(map(len, frames[:read])))]


@settings(max_examples=300)
@given(
    st.integers(0, 2**32 - 1) | st.integers(0, 60) | st.integers(LONGEST - 2, LONGEST + 2),
    st.integers(0, 2**32 - 1) | st.integers(0, 60),
    st.binary(max_size=80),
)
def test_garbage_is_not_read_beyond_its_end(driver: Driver, size: int, head: int, rest: bytes) -> None:
    *_, state, left = driver.ask("answers", struct.pack("<IQHI", size, 1, 200, head) + rest)
    if size < 14 or size > LONGEST:
        assert (state, left) == (b"bad", b"%d" % (18 + len(rest)))
    elif size > 14 + len(rest):
        assert (state, left) == (b"partial", b"%d" % (18 + len(rest)))
    elif head > size - 14:
        assert state == b"bad"
