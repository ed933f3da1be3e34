"""Frames as bytes. tests/envoy/test_frames.py tests that the C half reads and writes the same."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, strategies as st

from translator.checks.answers import Admitted, Allowed, Answered, refused
from translator.checks.frames import ASKED, Copied, Frame, FrameKind, FrameReader, Passed, ResponseCreated
from translator.errors import MalformedFrameError
from translator.message import Request, Response

MAX_BODY = 1000
LONGEST = MAX_BODY + 96 * 1024
values = st.lists(st.sampled_from([b"", b"a", b"Bearer k"]), min_size=len(ASKED), max_size=len(ASKED))
checks = st.lists(st.tuples(st.integers(0, 2**64 - 1), values, st.binary(max_size=MAX_BODY)), max_size=5)


def encoded(number: int, head: bytes, body: bytes, kind: int = FrameKind.WHOLE) -> bytes:
    return struct.pack("<IQBI", 13 + len(head) + len(body), number, kind, len(head)) + head + body


def check(number: int, headers: list[bytes], body: bytes, kind: int = FrameKind.WHOLE) -> tuple[bytes, Frame]:
    sent = {name: value for name, value in zip(ASKED, headers, strict=True) if value}
    request = Request("POST", b"/v1/x?y", sent, body)
    return encoded(number, b"\n".join([b"POST", b"/v1/x?y", *headers]), body, kind), (number, kind, request)


def notice(number: int, request_id: bytes) -> bytes:
    return encoded(number, request_id, b"", FrameKind.END)


def read(*pieces: bytes) -> list[Frame]:
    reader = FrameReader(MAX_BODY)
    return [each for piece in pieces for each in reader.feed(piece)]


@given(checks, st.data())
def test_any_pieces_make_the_same_checks(asked: list[tuple[int, list[bytes], bytes]], data: st.DataObject) -> None:
    made = [check(*each) for each in asked]
    text = b"".join(frame for frame, _ in made)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert read(*pieces) == [each for _, each in made]


def test_single_bytes_make_the_same_check() -> None:
    frame, expected = check(7, [b"a"] * len(ASKED), b"body")
    assert read(*(frame[at : at + 1] for at in range(len(frame)))) == [expected]


def test_half_a_check_is_none_yet() -> None:
    frame, _ = check(7, [b"a"] * len(ASKED), b"body")
    assert read(frame[:-1]) == []


@pytest.mark.parametrize("piece", [1, 50_000, 1_000_000])
def test_a_check_that_is_too_long_is_known_and_passed_over(piece: int) -> None:
    frame, expected = check(8, [b"a"] * len(ASKED), b"body")
    head = b"POST\n/" + b"\n" * len(ASKED)
    fits = encoded(6, head, b"x" * (LONGEST - 13 - len(head)))
    text = frame + fits + encoded(7, head, b"x" * (LONGEST - 12 - len(head))) + frame
    found = read(*(text[at : at + piece] for at in range(0, len(text), piece)))
    assert [number for number, _, _ in found] == [8, 6, 7, 8]
    assert [each is None for *_, each in found] == [False, False, True, False]
    assert found[0] == found[3] == expected


@pytest.mark.parametrize("piece", [100_000, 262_144, 300_000, 5_000_000])
def test_a_long_body_is_never_joined(piece: int) -> None:
    reader = FrameReader(1_000_000)
    body = bytes(range(256)) * 3_000
    frame, (_, _, request) = check(8, [b"a"] * len(ASKED), b"body")
    long, _ = check(9, [b"a"] * len(ASKED), body)
    text = frame + long + frame + long
    found = [each for at in range(0, len(text), piece) for each in reader.feed(text[at : at + piece])]
    assert [number for number, _, _ in found] == [8, 9, 8, 9]
    assert isinstance(request, Request)
    assert found[0][2] == found[2][2] == request
    for _, kind, content in (found[1], found[3]):
        assert isinstance(content, Request)
        assert (kind, content.body, content.headers) == (FrameKind.WHOLE, b"", request.headers)
        assert b"".join(content.pieces) == body
        assert max(map(len, content.pieces)) <= piece


@pytest.mark.parametrize("cut", [1, 16, 17, 30, 60, 70, 300_000])
def test_a_long_body_may_be_cut_anywhere(cut: int) -> None:
    long, (_, _, request) = check(9, [b"a"] * len(ASKED), bytes(400_000))
    reader = FrameReader(1_000_000)
    found = [*reader.feed(long[:cut]), *reader.feed(long[cut:])]
    ((number, _, content),) = found
    assert isinstance(content, Request)
    assert isinstance(request, Request)
    assert (number, b"".join(content.pieces), content.headers) == (9, request.body, request.headers)


@pytest.mark.parametrize(("size", "head"), [(12, 0), (0, 0), (13, 1), (50, 38), (50, 2**32 - 1)])
def test_sizes_that_are_impossible_are_refused(size: int, head: int) -> None:
    with pytest.raises(MalformedFrameError):
        read(struct.pack("<IQBI", size, 1, FrameKind.WHOLE, head) + bytes(100))


@pytest.mark.parametrize("lines", [1, 2, 1 + len(ASKED), 3 + len(ASKED)])
def test_a_head_with_other_lines_is_refused(lines: int) -> None:
    with pytest.raises(MalformedFrameError, match=f"has {lines} lines"):
        read(encoded(1, b"\n" * (lines - 1), b""))


@pytest.mark.parametrize("kind", [0, 200, 255])
def test_a_kind_that_is_not_known_is_refused(kind: int) -> None:
    with pytest.raises(MalformedFrameError, match=f"^{kind} is not a kind"):
        read(check(1, [b""] * len(ASKED), b"", kind)[0])


def test_checks_and_notices_come_in_their_order() -> None:
    first, expected = check(1, [b"a"] * len(ASKED), b"", FrameKind.HEAD)
    second, whole = check(2, [b"a"] * len(ASKED), b"body")
    text = first + notice(7, b"id-7") + second + notice(2, b"")
    assert read(text) == [expected, (7, FrameKind.END, "id-7"), whole, (2, FrameKind.END, "")]


def test_answers_are_as_the_module_reads_them() -> None:
    assert refused(2**40, Response(429, {"a": "b", "c": "d"}, b"body")) == (
        struct.pack("<IQHI", 14 + 9 + 4, 2**40, 429, 9) + b"a: b\nc: d" + b"body"
    )
    head = b"id\nkey\ncopy\nr\nk\nn\n/p\n-\n0:3:j:\np5\na/m\tnodes/\xc3\xa4\nx: \xe4"
    allowed = Allowed(
        "r",
        "k",
        "n",
        "/p",
        model="0:3:j:",
        headers={"x": "ä"},
        end="id",
        account="key",
        copy="copy",
        affinity="p5",
        excluded="a/m\tnodes/ä".encode().decode("latin-1"),
    )
    assert allowed.encode(1) == struct.pack("<IQHI", 14 + len(head), 1, 200, len(head)) + head
    assert Admitted("key").encode(2) == struct.pack("<IQHI", 14 + 3, 2, 100, 3) + b"key"
    answered = Answered("note", {"x": "y"}, b"body")
    assert answered.encode(3) == struct.pack("<IQHI", 14 + 9 + 4, 3, 201, 9) + b"note\nx: ybody"


@pytest.mark.parametrize("piece", [1, 1_000])
def test_a_copy_is_read(piece: int) -> None:
    head = b"token\nwhole\ntext/plain\na/m\n{\n}"
    text = encoded(7, head, b"body", FrameKind.COPY) + encoded(8, b"token\ncut\n\n\n", b"", FrameKind.COPY)
    assert read(*(text[at : at + piece] for at in range(0, len(text), piece))) == [
        (7, FrameKind.COPY, Copied("token", Passed("text/plain", "a/m", b"{\n}", b"body"))),
        (8, FrameKind.COPY, Copied("token", None, cut=True)),
    ]


def test_a_copy_without_its_lines_is_refused() -> None:
    with pytest.raises(MalformedFrameError, match=r"^the head of a copy has 2 lines"):
        read(encoded(7, b"token\nwhole", b"", FrameKind.COPY))


@pytest.mark.parametrize("piece", [1, 1000])
def test_a_note_of_a_response_that_is_made_is_read(piece: int) -> None:
    lines = "resp_1\nnd_1\nnodes/m\nrq 1 org key rt_1 m 1 1n 1 p - -"
    text = encoded(7, lines.encode(), b"", FrameKind.RESPONSE_CREATED) + encoded(
        8, b"resp_2\n\na/m\n", b"", FrameKind.RESPONSE_CREATED
    )
    assert read(*(text[at : at + piece] for at in range(0, len(text), piece))) == [
        (7, FrameKind.RESPONSE_CREATED, ResponseCreated(lines)),
        (8, FrameKind.RESPONSE_CREATED, ResponseCreated("resp_2\n\na/m\n")),
    ]


def test_such_a_note_without_its_lines_is_refused() -> None:
    with pytest.raises(MalformedFrameError):
        read(encoded(7, b"resp_1\nnd_1\nnodes/m", b"", FrameKind.RESPONSE_CREATED))
