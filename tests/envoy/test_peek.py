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
        {"message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}},
        {"text": "", "detail": "a transcript of silence"},
        {"vectors": [[0.1]], "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"base_resp": {"status_code": 0}, "x": 1},
        {"detail": None, "message": "", "x": 1},
        [{"index": 0, "score": 0.5}],
        [[0.1, 0.2]],
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
        {"detail": "Not authenticated"},
        {"detail": [{"loc": ["body", "model"], "msg": "field required"}]},
        {"message": "no Route matched with those values"},
        {"code": 500, "msg": "busy", "data": None},
        {"error_code": 18, "error_msg": "Open api qps request limit reached"},
        {"id": "1", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        {"fault": {"faultstring": "Spike arrest violation"}},
        {"x": {"choices": [1]}, "errorMessage": 1, "Message": "throttled"},
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


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_an_error_in_a_list(driver: Driver, mark: bytes) -> None:
    """Gemini sends its errors in a list; the client gets the object inside."""
    text = mark + b'[{\n "error": {"code": 429, "message": "no"}\n}\n]\n'
    assert peek(driver, "json", text, whole=True) == ERROR
    assert json.loads(driver.ask("json", text, 1)[1]) == {"error": {"code": 429, "message": "no"}}


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_line_end_and_a_mark_before_a_stream(driver: Driver, end: bytes, mark: bytes) -> None:
    error = mark + b"event: error" + end + b'data: {"error":{"message":"x"}}' + 2 * end
    answer = mark + b"id: 1" + end + b'data: {"choices":[{"index":0}]}' + 2 * end
    assert peek(driver, "events", error, whole=False) == ERROR
    assert peek(driver, "events", error.replace(b"event: error" + end, b""), whole=False) == ERROR
    assert peek(driver, "events", answer, whole=False) == ANSWER
    assert {peek(driver, "events", answer[:at], whole=False) for at in range(len(answer))} <= {MORE, ANSWER}


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
@pytest.mark.parametrize(
    "text", [b"<!DOCTYPE html><html>", b"\n\n <html>", b'<?xml version="1.0"?><Error/>', b"\xef\xbb\xbf<html>"]
)
def test_a_page_is_an_error_with_any_content_type(driver: Driver, what: str, text: bytes) -> None:
    if what == "events":
        text = text.replace(b"\n <", b"\n<")
    assert peek(driver, what, text, whole=True) == ERROR
    assert ANSWER not in {peek(driver, what, text[:at], whole=False) for at in range(len(text))}


@pytest.mark.parametrize("text", [b'error: {"code":500,"message":"x"}\n\n', b'\nerror:{"code":500}\n\n'])
def test_an_error_in_a_field_of_its_own(driver: Driver, text: bytes) -> None:
    """llama.cpp wrote errors in streams like this."""
    assert peek(driver, "events", text, whole=True) == ERROR
    assert {peek(driver, "events", text[:at], whole=False) for at in range(6)} == {MORE}


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "type": "invalid_request_error", "code": "model_not_found"}},
        {
            "error": {
                "message": "Model Not Exist",
                "type": "invalid_request_error",
                "code": "invalid_request_error",
            }
        },
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        {"error": {"message": "x/y is not a valid model ID", "code": 400}},
        {"message": "The provided model identifier is invalid."},
    ],
)
def test_a_400_of_a_target_that_does_not_know_its_model(driver: Driver, body: dict[str, object]) -> None:
    assert peek(driver, "refused", json.dumps(body).encode(), whole=True) == 1
    assert peek(driver, "refused", json.dumps(body, separators=(",", ":")).encode(), whole=True) == 1


@pytest.mark.parametrize(
    "message",
    ["model: x does not support tools", '{"code":"model_not_found"}', '"type": "invalid_model"', "no model found"],
)
def test_a_400_that_speaks_of_a_model(driver: Driver, message: str) -> None:
    text = json.dumps({"error": {"message": message, "code": "invalid_value"}}).encode()
    assert peek(driver, "refused", text, whole=True) == 0


def test_a_404_of_anthropic(driver: Driver) -> None:
    body = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}}
    assert peek(driver, "model", json.dumps(body).encode(), whole=True) == 1
    body["error"] = {"type": "not_found_error", "message": "file: x"}
    assert peek(driver, "model", json.dumps(body).encode(), whole=True) == 0


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
    st.sampled_from(["json", "events", "model", "refused"]),
    st.binary(max_size=30) | st.text('{}[]":,\\ \nadterochisvn', max_size=40).map(str.encode),
    st.booleans(),
)
def test_it_reads_nothing_but_its_text(driver: Driver, what: str, text: bytes, whole: bool) -> None:
    found = peek(driver, what, text, whole=whole)
    assert found in {MORE, ANSWER, ERROR}
    if whole and what not in {"model", "refused"}:
        assert found != MORE
