"""Which answers are cached, and how they are converted to the other form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from translator.cache import chat
from translator.cache.answers import LONGEST, CachedAnswer, cacheable, rendered
from translator.cache.key import Wanted
from translator.checks.frames import Passed
from translator.endpoints import CHAT, RESPONSES

PLAIN = Wanted(b"d", streams=False, usage=False, convertible=True)
STREAM = Wanted(b"d", streams=True, usage=False, convertible=True)
STREAM_USAGE = Wanted(b"d", streams=True, usage=True, convertible=True)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def plain(*choices: Any, **more: Any) -> bytes:
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": list(choices), **more}
    return orjson.dumps(answer)


def choice(
    content: str | None = "hi", reason: str | None = "stop", index: int = 0, **message: Any
) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **message}
    return {"index": index, "message": said, "finish_reason": reason}


def chunk(delta: Any = None, reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    part = {"index": index, "delta": delta if delta is not None else {}, "finish_reason": reason}
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return event({**head, "choices": [part], **more})


def event(data: Any) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


DONE = b"data: [DONE]\n\n"
REPORT = event({"id": "x", "choices": [], "usage": USAGE})
HELLO = chunk({"role": "assistant", "content": ""}) + chunk({"content": "h"}) + chunk({"content": "i"})
END = chunk(reason="stop")


def of_plain(body: bytes, path: str = CHAT, kind: str = "application/json") -> CachedAnswer | None:
    return cacheable(Passed(kind, "a/m", b"", body), PLAIN, path)


def of_stream(body: bytes, path: str = CHAT, report: Any = None) -> CachedAnswer | None:
    facts = orjson.dumps({"usage": report}) if report else b""
    return cacheable(Passed("text/event-stream; charset=utf-8", "a/m", facts, body), STREAM, path)


@pytest.mark.parametrize(
    "body",
    [
        plain(choice()),
        plain(choice(), choice("b", "length", 1)),
        plain(choice(None, "tool_calls", tool_calls=[CALL])),
    ],
)
def test_a_whole_answer_is_kept_as_it_is(body: bytes) -> None:
    cached = of_plain(body)
    assert cached is not None
    assert rendered(cached, PLAIN) == ("application/json", body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        plain(),
        plain(choice(reason=None)),
        plain(choice(), choice(reason=None, index=1)),
        plain(choice(None, "length", tool_calls=[CALL])),
        plain(choice(), error={"message": "no"}),
        plain(choice("x" * LONGEST)),
    ],
)
def test_a_plain_answer_that_is_not_whole_is_not_kept(body: bytes) -> None:
    assert of_plain(body) is None


@pytest.mark.parametrize(
    ("body", "cached"),
    [
        (HELLO + END + DONE, True),
        (HELLO.replace(b"\n\n", b"\r\n\r\n") + END + DONE, True),
        (b": ping\n\n" + HELLO + END + REPORT + DONE, True),
        (HELLO + END + b"data: [DONE]", True),
        (HELLO + END, False),
        (HELLO + DONE, False),
        (DONE, False),
        (HELLO + chunk({"content": "x"}, index=1) + END + DONE, False),
        (HELLO + event({"error": {"message": "no"}}) + END + DONE, False),
        (HELLO + b"data: {\n\n" + END + DONE, False),
        (HELLO + b"data: []\n\n" + END + DONE, False),
        (chunk({"tool_calls": [{"index": 0, **CALL}]}) + chunk(reason="length") + DONE, False),
        (chunk({"tool_calls": [{"index": 0, **CALL}]}) + chunk(reason="tool_calls") + DONE, True),
    ],
)
def test_a_stream_is_kept_that_says_it_is_finished(body: bytes, cached: bool) -> None:
    assert (of_stream(body) is not None) is cached


def test_usage_is_reported_to_who_asked_alone() -> None:
    asked, hidden = of_stream(HELLO + END + REPORT + DONE), of_stream(HELLO + END + DONE, report=USAGE)
    assert asked is not None
    assert hidden is not None
    for cached in (asked, hidden):
        assert rendered(cached, STREAM) == ("text/event-stream", HELLO + END + DONE)
        made = rendered(cached, STREAM_USAGE)
        assert made is not None
        assert made[1].startswith(HELLO + END)
        last, done, _ = made[1][len(HELLO + END) :].split(b"\n\n")
        assert done == b"data: [DONE]"
        report = orjson.loads(last.removeprefix(b"data: "))
        assert (report["choices"], report["usage"], report["id"]) == ([], USAGE, "x")


def test_a_plain_answer_is_made_of_a_stream() -> None:
    tools = [
        chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **CALL}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g"}}]}),
    ]
    other = chunk({"role": "assistant", "content": "b"}, index=1) + chunk(reason="stop", index=1)
    cached = of_stream(b"".join(tools) + other + chunk(reason="tool_calls") + DONE, report=USAGE)
    assert cached is not None
    made = rendered(cached, PLAIN)
    assert made is not None
    answer = orjson.loads(made[1])
    assert (answer["object"], answer["id"], answer["usage"]) == ("chat.completion", "x", USAGE)
    first, second = answer["choices"]
    assert first["finish_reason"] == "tool_calls"
    assert first["message"]["content"] is None
    assert first["message"]["tool_calls"] == [
        {**CALL, "function": {"name": "f", "arguments": '{"a":1} '}},
        {"id": "c2", "type": "function", "function": {"name": "g"}},
    ]
    assert second == choice("b", "stop", 1)


@pytest.mark.parametrize(
    "answer",
    [
        plain(choice("häl\n\nlo"), usage=USAGE),
        plain(choice("a"), choice("b", "length", 1), system_fingerprint="fp"),
        plain(choice(None, "tool_calls", tool_calls=[CALL]), usage=USAGE),
        plain(choice("x", reasoning_content="why")),
        plain({**choice("x"), "logprobs": {"content": [{"token": "x", "logprob": -0.5}], "refusal": None}}),
    ],
)
def test_a_stream_of_a_plain_answer_says_the_same(answer: bytes) -> None:
    cached = of_plain(answer)
    assert cached is not None
    made = rendered(cached, STREAM_USAGE)
    assert made is not None
    again = cacheable(Passed(made[0], "a/m", b"", made[1]), STREAM, CHAT)
    assert again is not None
    back = rendered(again, PLAIN)
    assert back is not None
    assert orjson.loads(back[1]) == orjson.loads(answer)


def test_deltas_that_cannot_be_joined_make_no_plain_answer() -> None:
    cached = of_stream(chunk({"audio": {"n": 1}}) + chunk({"audio": {"n": 2}}) + END + DONE)
    assert cached is not None
    assert rendered(cached, STREAM) is not None
    assert rendered(cached, PLAIN) is None


def test_other_endpoints_have_one_form() -> None:
    done = event({"type": "response.output_text.delta", "delta": "x"}) + event({"type": "response.completed"})
    cached = of_stream(done, RESPONSES)
    assert cached is not None
    alone = Wanted(b"d", streams=False, usage=False, convertible=False)
    assert rendered(cached, alone) is None
    assert of_stream(event({"type": "response.output_text.delta"}), RESPONSES) is None
    assert of_stream(event({"type": "response.failed"}), RESPONSES) is None
    assert of_plain(b'{"status":"completed"}', RESPONSES) is not None
    assert of_plain(b'{"status":"incomplete"}', RESPONSES) is None
    assert of_plain(b"\x00sound", "/v1/audio/speech", "audio/mpeg") is not None
    assert of_plain(b'{"data":[]}', "/v1/embeddings") is not None
    assert of_plain(b"<html>", CHAT, "text/html") is None


def test_a_stream_is_not_kept_for_who_wanted_none() -> None:
    assert cacheable(Passed("text/event-stream", "a/m", b"", HELLO + END + DONE), PLAIN, CHAT) is None
    assert cacheable(Passed("application/json", "a/m", b"", plain(choice())), STREAM, CHAT) is None


def test_usage_goes_before_the_end() -> None:
    assert chat.with_usage(b"a" + DONE, b"u") == b"au" + DONE
    assert chat.with_usage(b"a", b"u") == b"a"
