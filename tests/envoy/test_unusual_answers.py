"""Answers that no well-known provider sends, and that its clients understand all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.envoy.filters import (
    CONTINUE,
    FINAL,
    RESPONSE,
    Filter,
    asked,
    attempt,
    copies,
    decisions,
    driver,
    ends,
    heads,
    request_,
)
from tests.envoy.native import Driver

__all__ = ["asked", "copies", "decisions", "driver", "ends", "heads", "request_"]

MARK = b"\xef\xbb\xbf"
USAGE = b'{"prompt_tokens":7,"completion_tokens":2}'
TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}]}'
REPORT = b'data: {"choices":[],"usage":' + USAGE + b"}"


@pytest.fixture(scope="module")
def answers() -> Iterator[Driver]:
    with Driver("answers") as running:
        yield running


@pytest.mark.parametrize("before", [MARK, MARK + b"\r\n ", b"\n\t"])
def test_a_byte_order_mark_hides_no_usage(answers: Driver, before: bytes) -> None:
    text = before + b'{"choices":[{"message":{"content":"hi"}}],"usage":' + USAGE + b"}"
    for cut in range(len(before) + 2):
        assert answers.ask("plain", text[:cut], text[cut:])[2] == b'{"usage":' + USAGE + b',"text":2}'


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("first", [TOKEN, REPORT])
def test_nor_does_one_before_a_stream(answers: Driver, end: bytes, first: bytes) -> None:
    text = MARK + first + 2 * end + REPORT + 2 * end
    for cut in range(len(text)):
        events, _, facts, client, _ = answers.ask("events", 1, 1, text[:cut], text[cut:])
        assert (int(events), json.loads(facts)["usage"]) == (2, json.loads(USAGE))
        assert client == (MARK + first + 2 * end if first is TOKEN else b"")


def test_only_the_first_line_of_a_stream_may_have_one(answers: Driver) -> None:
    text = TOKEN + b"\n\n" + MARK + REPORT + b"\n\n"
    assert answers.ask("events", 1, 1, text)[3] == text


def test_events_that_end_with_carriage_returns_alone_are_not_kept_back(answers: Driver) -> None:
    """Each event goes on with its own last byte, not with the next one or at the end of the stream."""
    events = [TOKEN + b"\r\r"] * 3
    for count in range(1, 4):
        assert answers.ask("events", 1, 0, *events[:count])[3] == b"".join(events[:count])


@pytest.mark.parametrize("size", [1 << 14, 1 << 20])
@pytest.mark.parametrize("unit", [b"\r", b"\n", b"\r\n", b"\n\r", b"data:\r"])
def test_line_ends_are_searched_once(answers: Driver, unit: bytes, size: int) -> None:
    text = unit * (size // len(unit))
    assert answers.ask("events", 1, 1, text)[3] == text


@pytest.mark.parametrize("status", ["400", "404", "413", "422", "429", "500", "501", "503"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "identity, gzip"])
def test_a_compressed_error_reaches_no_client(request_: Filter, status: str, coding: str) -> None:
    """It could quote the gateway's credential, and nobody can see whether it does."""
    with attempt(request_) as first:
        first.call("request_headers", 0)
        first.add(RESPONSE, **{":status": status, "content-type": "application/json"})
        first.add(RESPONSE, **{"content-encoding": coding, "content-length": "9"})
        first.call("response_headers", 0)
        bodies = [first.call("response_body", last, piece) for last, piece in ((0, b"\x1f\x8bkey"), (1, b"key"))]
        text = b"".join(body for _, body in bodies)
        shown = first.headers(RESPONSE)
        assert {result for result, _ in bodies} <= {CONTINUE, 1, 2, 3}
        assert "content-encoding" not in shown
        assert (shown["content-type"], shown["content-length"]) == ("application/json", str(len(text)))
        assert json.loads(text)["error"]["code"] == "upstream_error"
        assert shown[":status"] in {status, FINAL}
