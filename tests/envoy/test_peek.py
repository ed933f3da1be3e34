"""`envoy/module/peek.c` on answers and errors in known formats, and on arbitrary bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.envoy.native import Driver

MORE, ANSWER, ERROR = range(3)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver("peek") as running:
        yield running


def peek(driver: Driver, what: str, text: bytes, *, whole: bool) -> int:
    return int(driver.ask(what, text, int(whole))[0])


@pytest.mark.parametrize(
    "value",
    [
        {"id": "1", "object": "chat.completion", "choices": [{"index": 0}]},
        {"choices": [{"index": 0}], "error": None},
        {"error": None, "output": [{"type": "message"}]},
        {"error": {"message": "partly"}, "choices": [{"index": 0}]},
        {"id": "resp_1", "object": "response", "status": "failed", "error": {"code": "x"}, "output": []},
        {"data": [{"embedding": [1]}]},
        {"text": "hello"},
        {"text": ""},
        {"results": [{"index": 0}]},
        {"error": ""},
        {"error": False, "x": 1},
        {"x": {"error": {"message": "inside"}}},
        {},
        [],
        "text",
        1,
    ],
)
def test_answers(driver: Driver, value: object) -> None:
    text = json.dumps(value).encode()
    assert peek(driver, "json", text, whole=True) == ANSWER
    assert {peek(driver, "json", text[:at], whole=False) for at in range(len(text))} <= {MORE, ANSWER}


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"message": "no", "type": "x"}},
        {"error": "no"},
        {"error": {"message": "choices"}, "choices": []},
        {"type": "error", "error": {"type": "overloaded_error"}},
        {"object": "error", "message": "no", "code": 500},
        {"choices": None, "error": {"code": 1}},
        {"status": 500, "error": "Internal Server Error", "path": "/v1"},
        {"errors": [{"message": "x"}], "success": False},
    ],
)
def test_errors(driver: Driver, value: object) -> None:
    for text in (
        json.dumps(value).encode(),
        json.dumps(value, indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(value).encode(),
    ):
        assert peek(driver, "json", text, whole=True) == ERROR
        assert {peek(driver, "json", text[:at], whole=False) for at in range(len(text))} == {MORE}
    event = b"data: " + json.dumps(value).encode() + b"\n\n"
    found, inside = driver.ask("events", event, 0)
    assert (int(found), json.loads(inside)) == (ERROR, value)


def test_an_answer_is_known_by_its_first_bytes(driver: Driver) -> None:
    assert peek(driver, "json", b'{"id":"x","object":"chat.completion","cre', whole=False) == ANSWER
    assert peek(driver, "json", b'{"choices":[{', whole=False) == ANSWER


@pytest.mark.parametrize(
    "text",
    [
        b": keep-alive", b"event: response.created\n", b'data: {"id":"x","object":"chat.completion.chunk"',
        b"data: [DONE]", b"id: 1\ndata: text", b'\r\n\r\ndata: {"choices":[{',
    ],
)  # fmt: skip
def test_streams_pass_at_their_first_sign_of_life(driver: Driver, text: bytes) -> None:
    assert peek(driver, "events", text, whole=False) == ANSWER


@pytest.mark.parametrize(
    "text",
    [
        b'event: error\ndata: {"x":1}\n',
        b"event: error\n\n",
        b'data: {"error":{"message":"x"}}\n',
        b'id: 1\ndata:{"error":1}\n',
    ],
)
def test_streams_that_begin_with_an_error(driver: Driver, text: bytes) -> None:
    assert peek(driver, "events", text, whole=False) == ERROR


@pytest.mark.parametrize("what", ["json", "events"])
def test_nothing_is_an_error(driver: Driver, what: str) -> None:
    for text in (b"", b" ", b"\r\n\n"):
        assert peek(driver, what, text, whole=False) == MORE
        assert peek(driver, what, text, whole=True) == ERROR


@pytest.mark.parametrize("what", ["json", "events"])
def test_what_stays_unclear_passes(driver: Driver, what: str) -> None:
    for filling in (b" ", b'{"a":"' + b"x" * 10, b"id: x\n", b"\n"):
        assert peek(driver, what, (filling * 5000)[:4096], whole=False) == ANSWER


@given(
    st.sampled_from(["json", "events", "model"]),
    st.binary(max_size=30) | st.text('{}[]":,\\ \nadterochisvn', max_size=40).map(str.encode),
    st.booleans(),
)
def test_it_reads_nothing_but_its_text(driver: Driver, what: str, text: bytes, whole: bool) -> None:
    found = peek(driver, what, text, whole=whole)
    assert found in {MORE, ANSWER, ERROR}
    if whole and what != "model":
        assert found != MORE
