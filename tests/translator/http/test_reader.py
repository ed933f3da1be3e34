"""The rules of RFC 9112 that the reader follows, however the bytes arrive."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from translator.errors import MalformedHttpError
from translator.http.reader import MAX_HEAD, RequestReader
from translator.message import Request

SIZED = b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nX-A:  1 \r\nx-a: 2\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n"
    b"3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n"
)
EMPTY = b"GET /d HTTP/1.1\r\n\r\n"


def read(reader: RequestReader, pieces: list[bytes]) -> list[Request]:
    requests = []
    for piece in pieces:
        request = reader.feed(piece)
        while request is not None:
            requests.append(request)
            request = reader.feed(b"")
    return requests


@given(st.lists(st.integers(0, len(SIZED + CHUNKED + EMPTY)), max_size=12))
def test_requests_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    stream = SIZED + CHUNKED + EMPTY
    places = [0, *sorted(cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(places)]
    reader = RequestReader(100)
    assert read(reader, pieces) == [
        Request(
            "POST", b"/a?b=1", {b"host": b"x", b"x-a": b"1, 2", b"content-length": b"5"}, b"hello"
        ),
        Request("PUT", b"/c", {b"transfer-encoding": b"Chunked"}, b"abc0123456789"),
        Request("GET", b"/d", {}, b""),
    ]  # fmt: skip
    assert reader.idle


def test_a_request_that_is_still_arriving_is_not_idle() -> None:
    for end in range(1, len(SIZED)):
        reader = RequestReader(100)
        assert reader.feed(SIZED[:end]) is None
        assert not reader.idle


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: b\rc: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1_0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 0x1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length:\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 5000, 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"3c\r\n" + b"x" * 60 + b"\r\n3c\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 20_000, 431),
        (b"POST / HTTP/1.1\r\ncontent-length: 101\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\na: " + b"x" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\na: " + b"x" * MAX_HEAD + b"\r\n\r\n", 431),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(stream: bytes, status: int) -> None:
    for pieces in ([stream], [stream[:30], stream[30:]]):
        with pytest.raises(MalformedHttpError) as caught:
            read(RequestReader(100), pieces)
        assert caught.value.status == status


@given(st.binary(max_size=200))
def test_any_bytes_give_requests_or_a_refusal(stream: bytes) -> None:
    with suppress(MalformedHttpError):
        read(RequestReader(100), [stream, b"\r\n\r\n"])
