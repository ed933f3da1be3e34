"""Answers of unusual shapes: they are cached only if they are complete, and converted only without loss."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.translator.cache.test_answers import (
    DONE,
    END,
    HELLO,
    PLAIN,
    STREAM_USAGE,
    choice,
    chunk,
    event,
    of_plain,
    of_stream,
    plain,
)
from translator.cache.answers import LONGEST, CachedAnswer, rendered
from translator.endpoints import RESPONSES


def call(**part: Any) -> bytes:
    return chunk({"tool_calls": [part]})


def message_of(*stream: bytes) -> dict[str, Any] | None:
    """Returns the message of the plain answer to which a stream is converted; None if it cannot be."""
    cached = of_stream(b"".join(stream) + DONE)
    assert cached is not None
    made = rendered(cached, PLAIN)
    return orjson.loads(made[1])["choices"][0]["message"] if made is not None else None


@pytest.mark.parametrize(
    "stream",
    [
        [chunk({"audio": {"transcript": "he"}}), chunk({"audio": {"transcript": "llo"}})],
        [chunk({"audio": {"id": "a", "data": "AAAA"}}), chunk({"audio": {"data": "BBBB"}})],
        [chunk({"thinking": "x"}), chunk({"thinking": "y"})],
        [call(index=0, id="c", function={"name": "get_"}), call(index=0, function={"name": "weather"})],
        [call(index=0, id="c", function={"name": "f"}), call(index=0, id="d", function={"arguments": "{}"})],
        [call(id="c", function={"name": "f", "arguments": "{"}), call(function={"arguments": "}"})],
        [chunk({"content": "a"}), chunk({"content": [{"type": "text", "text": "b"}]})],
        [event({"choices": [{"index": 0, "logprobs": number}]}) for number in (1, 2)],
        [event({"choices": [], "citations": sources}) for sources in (["a"], ["a", "b"])],
    ],
)
def test_a_stream_whose_parts_cannot_be_joined_without_loss_stays_a_stream(stream: list[bytes]) -> None:
    assert message_of(*stream, END) is None


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (
            [
                call(index=0, id="c", type="function", function={"name": "f", "arguments": ""}),
                call(index=0, id="", type="function", function={"name": "", "arguments": "{}"}),
            ],
            {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        ),
        ([chunk({"role": "assistant", "content": each}) for each in "ab"], {"content": "ab"}),
        ([chunk({"role": "", "content": "a"}), chunk({"role": "x"})], {"role": "x", "content": "a"}),
        ([b"\xef\xbb\xbf" + chunk({"content": "a"}), chunk({"content": "b"})], {"content": "ab"}),
        ([chunk({"content": "a\u2028b\x85\x0b"})], {"content": "a\u2028b\x85\x0b"}),
        ([b"event: ping\ndata: {}\n\n", chunk({"content": "a"})], {"content": "a"}),
    ],
)  # fmt: skip
def test_common_ways_to_write_a_stream_make_a_plain_answer(stream: list[bytes], expected: dict[str, Any]) -> None:
    message = message_of(*stream, END)
    assert message is not None
    assert message == {**message, **expected}


@pytest.mark.parametrize(
    "body",
    [
        HELLO + END + DONE + HELLO,
        HELLO + DONE + END,
        HELLO + chunk(reason="error") + DONE,
        HELLO + chunk(reason="abort") + DONE,
        HELLO + chunk(reason="insufficient_system_resource") + DONE,
        HELLO + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "error": {}}]}) + DONE,
        HELLO + b'event: error\ndata: {"message":"overloaded"}\n\n' + END + DONE,
        HELLO + event({"choices": [{"index": 0, "delta": "text", "finish_reason": None}]}) + END + DONE,
    ],
)
def test_a_stream_that_breaks_off_in_an_unusual_way_is_not_cached(body: bytes) -> None:
    assert of_stream(body) is None


@pytest.mark.parametrize(
    "reason",
    ["error", "abort", "cancelled", "", "insufficient_system_resource", "malformed_function_call", "timeout"],
)
def test_a_plain_answer_that_broke_off_is_not_cached(reason: str) -> None:
    assert of_plain(plain(choice("x", reason))) is None


@pytest.mark.parametrize("reason", ["stop", "end_turn", "STOP", "COMPLETE", "stop_sequence", "eos_token"])
def test_a_complete_answer_of_another_provider_is_cached(reason: str) -> None:
    assert of_plain(plain(choice("x", reason))) is not None


def test_a_choice_with_an_error_is_not_cached() -> None:
    assert of_plain(plain(choice("x") | {"error": {"code": 502, "message": "broke"}})) is None


TEXT = event({"type": "response.output_text.delta", "delta": "x"})
SEARCHED = event({"type": "response.web_search_call.completed"})
COMPLETED = event({"type": "response.completed"})


@pytest.mark.parametrize(
    ("stream", "cached"),
    [
        (SEARCHED + TEXT + COMPLETED, True),
        (TEXT + COMPLETED + DONE, True),
        (SEARCHED, False),
        (TEXT + SEARCHED + DONE, False),
        (TEXT + event({"type": "response.incomplete"}) + DONE, False),
        (COMPLETED + event({"type": "response.failed"}), False),
    ],
)
def test_only_the_end_of_a_response_completes_it(stream: bytes, cached: bool) -> None:
    assert (of_stream(stream, RESPONSES) is not None) is cached


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": ["x"]},
        {"tool_calls": {"a": 1}},
        {"tool_calls": 7},
        {"x": orjson.Fragment(b"[" * 300 + b"]" * 300)},
        "text",
        ["a", "b"],
    ],
)
def test_a_plain_answer_of_an_unknown_shape_stays_as_it_is(message: Any) -> None:
    cached = of_plain(orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))
    assert cached is not None
    assert rendered(cached, STREAM_USAGE) is None
    assert rendered(cached, PLAIN) is not None


@pytest.mark.parametrize(
    "cached",
    [
        CachedAnswer(True, "text/event-stream", b"data: []\n\n", b"", 0, 0, 0),
        CachedAnswer(True, "text/event-stream", b"data: 1\n\n", b"", 0, 0, 0),
        CachedAnswer(True, "text/event-stream", HELLO + END + DONE, b"usage", 0, 0, 0),
        CachedAnswer(True, "text/event-stream", HELLO + END + DONE, b"data: {}\n\n", 0, 0, 0),
        CachedAnswer(False, "application/json", b"[]", b"", 0, 0, 0),
        CachedAnswer(False, "application/json", b'{"choices":7}', b"", 0, 0, 0),
    ],
)
def test_what_somebody_else_wrote_to_a_store_is_not_converted(cached: CachedAnswer) -> None:
    assert rendered(cached, STREAM_USAGE if not cached.streams else PLAIN) is None


def test_a_stream_that_is_too_long_with_its_usage_is_no_answer() -> None:
    usage = event({"choices": [], "usage": {"x": "y" * 2_000}})
    cached = CachedAnswer(True, "text/event-stream", b" " * (LONGEST - 1_000) + DONE, usage, 0, 0, 0)
    assert rendered(cached, STREAM_USAGE) is None
