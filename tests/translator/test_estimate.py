"""What is reserved for a request before anyone has served it."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from translator import estimate
from translator.body import JsonBody
from translator.form import FormBody

CHAT = "/v1/chat/completions"


def body_of(**values: Any) -> bytes:
    return json.dumps({"model": "m", **values}).encode()


def prompt(**values: Any) -> int:
    body = body_of(**values)
    return estimate.prompt_tokens(body, JsonBody(body))


def output(path: str = CHAT, default: int = 0, **values: Any) -> int:
    return estimate.output_tokens(path, JsonBody(body_of(**values)), default)


def message(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_a_small_body_is_text() -> None:
    body = body_of(messages=message("x" * 1_000))
    assert prompt(messages=message("x" * 1_000)) == len(body) // 4


def test_at_least_one() -> None:
    assert estimate.prompt_tokens(b'{"model":"m"}', JsonBody(b'{"model":"m"}')) == 3
    assert estimate.prompt_tokens(b"{}", JsonBody(b'{"model":"m"}')) == 1


@pytest.mark.parametrize("letter", ["x", "é", "水", "🙂"])
def test_text_counts_by_its_bytes(letter: str) -> None:
    text = letter * 20_000
    estimated = prompt(messages=message(text))
    assert 0 <= estimated - len(text.encode()) / 4 < 30


IMAGE = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"type": "image_url", "image_url": {"url": IMAGE}}, 1),
        ({"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}, 1),
        ({"type": "input_image", "image_url": IMAGE}, 1),
        ({"type": "input_audio", "input_audio": {"data": IMAGE[22:], "format": "wav"}}, 1),
        ({"type": "file", "file": {"file_data": IMAGE}}, 1),
        ({"type": "input_file", "filename": "x", "file_data": IMAGE}, 1),
        ({"type": "text", "text": "look"}, 0),
        ([{"type": "image_url", "image_url": {"url": IMAGE}}] * 3, 3),
    ],
)
def test_media_count_as_such_and_not_as_text(part: Any, media: int) -> None:
    parts = part if isinstance(part, list) else [part]
    estimated = prompt(messages=message([{"type": "text", "text": "look"}, *parts]))
    assert estimate.MEDIUM * media <= estimated < estimate.MEDIUM * media + 60


def test_a_data_url_anywhere_is_a_medium() -> None:
    assert estimate.MEDIUM <= prompt(input=[IMAGE]) < estimate.MEDIUM + 20


def test_text_does_not_hide_in_a_part_that_says_it_is_an_image() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com"}, "text": "x" * 40_000}
    assert prompt(messages=message([part])) > 10_000


def test_tokens_count_one_by_one() -> None:
    assert 3_000 <= prompt(input=list(range(100_000, 103_000))) < 3_010
    assert 3_000 <= prompt(input=[list(range(100_000, 101_500))] * 2) < 3_010


@pytest.mark.parametrize(
    "values",
    [
        {"messages": message("x" * 9_000_000)},
        {"input": list(range(1_500_000))},
        {"input": [[1]] * 1_500_000},
        {"input": [{"a": "b"}] * 500_000},
        {"messages": message([{"type": "text", "text": "x"}] * 200_000)},
    ],
    ids=["text", "tokens", "lists", "objects", "parts"],
)
def test_a_large_body_takes_no_longer_than_it_must(values: dict[str, Any]) -> None:
    body = body_of(**values)
    parsed = JsonBody(body)
    start = time.process_time()
    estimated = estimate.prompt_tokens(body, parsed)
    # A look at every value would take ten times as long.
    assert time.process_time() - start < 0.05
    assert len(body) / 40 < estimated <= len(body) / 2


def test_a_form_is_one_medium() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n'
    form = FormBody(body, b"multipart/form-data; boundary=b")
    assert estimate.prompt_tokens(body, form) == estimate.MEDIUM
    assert estimate.output_tokens("/v1/audio/transcriptions", form, 0) == estimate.DEFAULT_OUTPUT


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 1_024),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 7, "n": 2, "best_of": 5}, 35),
        ({"max_tokens": 7, "n": None}, 7),
        ({"max_tokens": 7, "prompt": ["a", "b", "c"]}, 21),
        ({"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
        ({"max_tokens": 7, "prompt": [[1, 2], [3]]}, 14),
        ({"n": 2}, 2_048),
        ({"max_tokens": "50"}, 50),
        ({"max_tokens": 50.0}, 50),
        ({"max_tokens": None}, 1_024),
        ({"max_tokens": 0}, 1_024),
        ({"max_tokens": -1}, 1_024),
        ({"max_tokens": [1]}, 1_024),
        ({"max_tokens": "many"}, 1_024),
        ({"max_tokens": "9" * 5_000}, 1_024),
        ({"max_tokens": 10**18}, estimate.MOST_TOKENS),
        ({"max_tokens": 1e300, "n": 10**18}, estimate.MOST_TOKENS),
    ],
)
def test_the_most_that_a_request_allows(values: dict[str, Any], expected: int) -> None:
    assert output(**values) == expected


def test_the_routes_default() -> None:
    assert output(default=300) == 300
    assert output(default=300, n=2) == 600
    assert output(default=300, max_tokens=7) == 7


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/moderations", "/v1/rerank", "/v1/audio/speech"])
def test_what_generates_nothing(path: str) -> None:
    assert output(path, 300, max_tokens=5) == 0
