"""Answers that no well-known provider sends, but that its clients understand nevertheless."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.envoy.filters import (
    CONTINUE,
    FINAL,
    RESPONSE,
    Decisions,
    Filter,
    asked,
    attempt,
    authorised,
    copies,
    decisions,
    driver,
    ends,
    heads,
    request_,
)
from tests.envoy.native import Driver
from translator.checks.answers import Allowed

__all__ = ["asked", "copies", "decisions", "driver", "ends", "heads", "request_"]

MARK = b"\xef\xbb\xbf"
USAGE = b'{"prompt_tokens":7,"completion_tokens":2}'
TOKEN = b'data: {"choices":[{"delta":{"content":"a"}}]}'
REPORT = b'data: {"choices":[],"usage":' + USAGE + b"}"


@pytest.fixture(scope="module")
def answers() -> Iterator[Driver]:
    with Driver("answers") as running:
        yield running


@pytest.fixture(params=["/chat/completions", "/responses?a=1"])
def chat(request: pytest.FixtureRequest, driver: Driver, decisions: Decisions) -> Iterator[Filter]:
    decision = Allowed("route", "", "note", request.param, "1:0:{}", "0:1:j:m", {"x-request-id": "1"})
    with authorised(driver, decisions, decision) as made:
        yield made


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
    """Each event is passed on with its own last byte, not with the next event or at the end of the stream."""
    events = [TOKEN + b"\r\r"] * 3
    for count in range(1, 4):
        assert answers.ask("events", 1, 0, *events[:count])[3] == b"".join(events[:count])


@pytest.mark.parametrize("size", [1 << 14, 1 << 20])
@pytest.mark.parametrize("unit", [b"\r", b"\n", b"\r\n", b"\n\r", b"data:\r"])
def test_line_ends_are_searched_once(answers: Driver, unit: bytes, size: int) -> None:
    text = unit * (size // len(unit))
    assert answers.ask("events", 1, 1, text)[3] == text


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "application/json", "text/plain", "application/octet-stream", "x/y", ""]
)
@pytest.mark.parametrize("piece", [1, 4, 1_000])
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_is_what_it_looks_like_whatever_its_type_says(
    chat: Filter, kind: str, piece: int, *, streamed: bool
) -> None:
    text = (
        REPORT + b"\n\n" + TOKEN + b"\n\n" if streamed else b' {"choices":[{"text":"a"}],"usage":' + USAGE + b"}"
    )
    with attempt(chat) as first:
        first.call("request_headers", 0)
        first.add(RESPONSE, **{":status": "200"}, **({"content-type": kind} if kind else {}))
        first.call("response_headers", 0)
        pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
        passed = [first.call("response_body", 0, each)[1] for each in pieces]
        passed.append(first.call("response_body", 1)[1])
        assert first.headers(RESPONSE)[":status"] == "200"
    assert b"".join(passed) == (TOKEN + b"\n\n" if streamed else text)
    chat.driver.ask("complete", chat.slot)
    logged = chat.state("trunkline.usage")
    assert logged is not None
    assert json.loads(logged)["usage"] == json.loads(USAGE)
    assert (chat.state("trunkline.events") is not None) == streamed


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain", ""])
@pytest.mark.parametrize(
    "text", [b'{"error":{"message":"no"}}', b'data: {"error":{"message":"no"}}\n\n', b"", b" "]
)
def test_an_error_is_one_whatever_its_type_says(chat: Filter, kind: str, text: bytes) -> None:
    with attempt(chat) as first:
        first.call("request_headers", 0)
        first.add(RESPONSE, **{":status": "200"}, **({"content-type": kind} if kind else {}))
        first.call("response_headers", 0)
        first.call("response_body", 1, text)
        assert first.headers(RESPONSE)[":status"] == FINAL


@pytest.mark.parametrize("text", [b"just text", b"dat", b"\x00\xff", b"eventual"])
def test_what_has_no_known_form_passes(chat: Filter, text: bytes) -> None:
    with attempt(chat) as first:
        first.call("request_headers", 0)
        first.add(RESPONSE, **{":status": "200", "content-type": "text/plain"})
        first.call("response_headers", 0)
        passed = [first.call("response_body", 0, bytes([byte]))[1] for byte in text]
        passed.append(first.call("response_body", 1)[1])
        assert first.headers(RESPONSE)[":status"] == "200"
    assert b"".join(passed) == text


@pytest.mark.parametrize("status", ["400", "404", "413", "422", "429", "500", "501", "503"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "identity, gzip"])
def test_a_compressed_error_reaches_no_client(request_: Filter, status: str, coding: str) -> None:
    """The error could quote the gateway's credential, and the module cannot read it."""
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


@pytest.mark.parametrize(
    ("sent", "passes"),
    [
        *((each, True) for each in ("no-cache", "No-Store", "private, max-age=5", "public, no-cache")),
        *((each, False) for each in ("public", "max-age=600", "s-maxage=9, must-revalidate", "immutable", "")),
    ],
)
def test_no_cache_on_the_way_may_share_an_answer(request_: Filter, sent: str, *, passes: bool) -> None:
    with attempt(request_) as first:
        first.call("request_headers", 0)
        first.add(RESPONSE, **{":status": "200", "content-type": "audio/mpeg", "cache-control": sent})
        first.call("response_headers", 0)
        assert first.headers(RESPONSE).get("cache-control") == (sent if passes else None)


def test_of_a_header_that_is_there_twice_the_first_passes(request_: Filter) -> None:
    with attempt(request_, 'u - sk-secret-1 target "there"') as first:
        first.call("request_headers", 0)
        first.add(RESPONSE, **{":status": "200", "content-type": "audio/mpeg", "openai-version": "sk-secret-1"})
        first.add(RESPONSE, **{"content-type": "text/html", "openai-version": "2", "cache-control": "no-store"})
        first.add(RESPONSE, **{"cache-control": "public"})
        first.call("response_headers", 0)
        shown = first.headers(RESPONSE)
        assert shown == {
            ":status": "200", "content-type": "audio/mpeg", "openai-version": "*" * 11, "cache-control": "no-store"
        }  # fmt: skip
