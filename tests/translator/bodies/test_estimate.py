"""The amounts reserved for a request before it is served."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from translator.bodies import estimate
from translator.bodies.estimate import Estimate
from translator.bodies.form import FormBody
from translator.bodies.json_body import parse
from translator.endpoints import ENDPOINTS, BodyKind

CHAT = "/v1/chat/completions"


def body_of(**values: Any) -> bytes:
    return json.dumps({"model": "m", **values}).encode()


def of(body: bytes, path: str = CHAT) -> Estimate:
    return estimate.of_json(path, body, parse(body).values)


def prompt(path: str = CHAT, **values: Any) -> int:
    return of(body_of(**values), path).prompt


def output(path: str = CHAT, default: int = 0, **values: Any) -> int:
    return of(body_of(**values), path).output(default)


def message(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def test_a_small_body_is_text() -> None:
    body = body_of(messages=message("x" * 1_000))
    assert prompt(messages=message("x" * 1_000)) == len(body) // 4


def test_at_least_one() -> None:
    assert of(b'{"model":"m"}').prompt == 3
    assert estimate.of_json(CHAT, b"{}", {}).prompt == 1


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
    assert estimate.MEDIUM * media <= estimated < estimate.MEDIUM * media + 100


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/v1/responses", {"input": message([{"type": "input_image", "image_url": IMAGE}])}),
        ("/v1/responses", {"input": [{"type": "image_generation_call", "result": IMAGE[22:]}]}),
        ("/v1/responses", {"input": [{"type": "computer_call_output",
                                      "output": {"type": "computer_screenshot", "image_url": IMAGE}}]}),
        ("/v1/moderations", {"input": [{"type": "image_url", "image_url": {"url": IMAGE}}]}),
        ("/v1/images/generations", {"prompt": "a", "image": IMAGE}),
        ("/v1/images/generations", {"prompt": "a", "image": [IMAGE[22:]]}),
    ],
)  # fmt: skip
def test_media_where_endpoints_take_them(path: str, values: dict[str, Any]) -> None:
    assert estimate.MEDIUM <= prompt(path, **values) < estimate.MEDIUM + 60


LONG = "All work and no play makes Jack a dull boy. " * 9_000  # 396 KB
ENCODED = base64.b64encode(LONG.encode()).decode()


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (CHAT, {"messages": message("data:" + LONG)}),
        (CHAT, {"messages": message("data:image/png;base64," + LONG)}),
        (CHAT, {"messages": message(IMAGE)}),
        (CHAT, {"messages": message([{"type": "text", "text": "data:image/png;base64," + LONG}])}),
        (CHAT, {"messages": message([{"type": "text", "text": IMAGE}])}),
        (
            CHAT,
            {"messages": message([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + LONG}}])},
        ),
        (CHAT, {"messages": message([{"type": "image_url", "image_url": {"url": LONG}}])}),
        (CHAT, {"messages": message([{"type": "image_url", "image_url": {"url": IMAGE}, "text": LONG}])}),
        (
            CHAT,
            {"messages": message([{"type": "file", "file": {"file_data": "data:text/plain;base64," + ENCODED}}])},
        ),
        (
            CHAT,
            {
                "messages": message(
                    [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + ENCODED}}]
                )
            },
        ),
        (CHAT, {"messages": [{"role": "user", "content": "x", "image_url": IMAGE, "type": "image_url"}]}),
        (CHAT, {"tools": [{"type": "function", "function": {"type": "image_url", "image_url": LONG}}]}),
        (CHAT, {"tools": [{"type": "image_url", "image_url": {"url": IMAGE}}]}),
        (CHAT, {"input": message([{"type": "input_image", "image_url": IMAGE}])}),
        (CHAT, {"messages": [message([{"type": "image_url", "image_url": {"url": IMAGE}}])]}),
        (CHAT, {"messages": {"content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}}),
        (CHAT, {"messages": LONG}),
        ("/v1/completions", {"prompt": IMAGE}),
        ("/v1/completions", {"prompt": [IMAGE]}),
        ("/v1/embeddings", {"input": IMAGE}),
        ("/v1/embeddings", {"input": ["data:" + LONG]}),
        ("/v1/audio/speech", {"input": IMAGE}),
        ("/v1/responses", {"input": IMAGE}),
        ("/v1/responses", {"instructions": IMAGE}),
        ("/v1/images/generations", {"prompt": IMAGE}),
        ("/v1/rerank", {"query": "q", "documents": [{"type": "image_url", "image_url": {"url": IMAGE}}]}),
    ],
)
def test_text_escapes_nowhere(path: str, values: dict[str, Any]) -> None:
    assert prompt(path, **values) >= len(LONG) // 4


def test_sound_and_documents_count_by_their_size() -> None:
    def sized(part: dict[str, Any]) -> int:
        return prompt(messages=message([part]))

    sound = base64.b64encode(bytes(1_000_000)).decode()
    assert 2_500 <= sized({"type": "input_audio", "input_audio": {"data": sound, "format": "mp3"}}) < 2_600
    pdf = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7\n" + bytes(1_000_000)).decode()
    assert 25_000 <= sized({"type": "file", "file": {"file_data": pdf}}) < 25_100


def test_a_reranker_reads_its_query_with_each_document() -> None:
    assert prompt("/v1/rerank", query="x" * 4_000, documents=["a"] * 100) >= 100_000


def test_text_does_not_hide_in_a_part_that_says_it_is_an_image() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com"}, "text": "x" * 40_000}
    assert prompt(messages=message([part])) > 10_000


def test_tokens_count_one_by_one() -> None:
    assert 3_000 <= prompt(input=list(range(100_000, 103_000))) < 3_800
    assert 3_000 <= prompt(input=[list(range(100_000, 101_500))] * 2) < 3_800


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": [1] * 20_000},
        {"input": [[1] * 20_000]},
        {"input": [[1] * 10] * 20_000},
        {"input": [[[1] * 1_000]]},
        {"prompt": [1, "a"] * 20_000},
        {"prompt": [1.0] * 20_000 + [1]},
    ],
)
def test_numbers_of_tokens_are_never_fewer_than_there_are(values: dict[str, Any]) -> None:
    def count(value: Any) -> int:
        return sum(map(count, value)) if isinstance(value, list) else 1

    assert prompt("/v1/completions", **values) >= count(next(iter(values.values())))


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"messages": message("x" * 9_000_000)},
        {"input": list(range(900_000))},
        {"input": [[1]] * 450_000},
        {"input": [{"a": "b"}] * 400_000},
        {"messages": message([{"type": "text", "text": "x"}] * 200_000)},
    ],
    ids=["text", "tokens", "lists", "objects", "parts"],
)
def test_a_large_body_is_never_estimated_small(values: dict[str, Any]) -> None:
    body = body_of(**values)
    assert len(body) / 40 < of(body, "/v1/embeddings").prompt <= len(body)


@pytest.mark.slow
def test_more_parts_than_are_looked_at_are_text() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000}}
    assert prompt(messages=message([part] * 20_000)) > 10_000 * 250


def test_text_that_a_later_member_of_the_same_name_replaces() -> None:
    body = b'{"model":"m","tools":"' + b"x" * 40_000 + b'\\u0041","tools":[]}'
    assert of(body).prompt >= 10_000


def texts(value: Any) -> int:
    """Returns the bytes of all strings in a document, keys included."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(texts(key) + texts(each) for key, each in value.items())
    return sum(map(texts, value)) if isinstance(value, list) else 0


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "type",
        "image_url",
        "url",
        "text",
        "input_audio",
        "data",
        "file",
        "file_data",
        "data:image/png;base64,",
        "content",
        "data:,",
        "data:image/png;base64,x y",
        "http://x",
        "data:image/png;base64,é",
    ]
)
#: No value is the base64 of anything but text.
DOCUMENTS = st.recursive(
    (WORDS.map(lambda word: word + " ") | st.booleans()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS, inner, max_size=4)
        | st.builds(lambda kind, each: {"type": kind, kind: each}, st.sampled_from(["image_url", "file"]), inner)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@given(
    st.sampled_from([each.path for each in ENDPOINTS if each.body is BodyKind.JSON]),
    st.dictionaries(st.sampled_from(["messages", "input", "prompt", "tools", "image"]), DOCUMENTS),
)
def test_no_text_is_left_out(path: str, values: dict[str, Any]) -> None:
    assert prompt(path, **values) >= texts(values) // 4


def form(*parts: tuple[str, bytes]) -> FormBody:
    body = b"".join(
        b"--b\r\nContent-Disposition: form-data; name=" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in (("model", b"m"), *parts)
    )
    return FormBody(body + b"--b--\r\n", b"multipart/form-data; boundary=b")


def test_forms() -> None:
    sound = estimate.of_form("/v1/audio/transcriptions", form(("file; filename=a", bytes(1_000_000))))
    assert 2_500 <= sound.prompt < 2_600
    assert sound.output(0) == 1_250
    assert estimate.of_form("/v1/audio/transcriptions", form()).output(0) == estimate.DEFAULT_OUTPUT
    images = estimate.of_form(
        "/v1/images/edits",
        form(*[("image[]; filename=a", bytes(90_000))] * 2, ("prompt", b"x" * 40_000), ("n", b"3")),
    )
    assert 2 * estimate.MEDIUM + 10_000 <= images.prompt < 2 * estimate.MEDIUM + 10_200
    assert images.output(0) == 3 * estimate.DEFAULT_OUTPUT
    other = estimate.of_form("/v1/audio/transcriptions", form(("context; filename=a", b"x" * 40_000)))
    assert other.prompt >= 10_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 1_024),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 7}, 1_024),  # belongs to another endpoint; no server obeys it here
        ({"max_output_tokens": 7_000}, 7_000),
        ({"max_tokens": 7, "n_predict": 9_000}, 9_000),
        ({"max_tokens": 7, "max_completion_tokens": -1}, 1_024),
        ({"max_tokens": 7_000, "max_completion_tokens": -1}, 7_000),
        ({"max_tokens": 7.5}, 8),
        ({"max_tokens": " 5e1 "}, 50),
        ({"max_tokens": 7, "n": "3"}, 21),
        ({"max_tokens": 7, "n": 2.5}, 21),
        ({"max_tokens": 7, "n": -1}, 7),
        ({"max_tokens": 7, "n": [5]}, 7),
        ({"max_tokens": 7, "n": "5" * 400}, 7),
        ({"max_tokens": 7, "prompt": [1, "a"]}, 14),
        ({"max_tokens": True}, 1_024),
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
        ({"max_tokens": 10**18}, estimate.MAX_TOKENS),
        ({"max_tokens": 1e300, "n": 10**18}, estimate.MAX_TOKENS),
    ],
)
def test_the_most_that_a_request_allows(values: dict[str, Any], expected: int) -> None:
    assert output(**values) == expected


def test_the_maximum_of_responses() -> None:
    assert output("/v1/responses", max_output_tokens=7) == 7
    assert output("/v1/responses", max_tokens=7) == 1_024


def test_the_routes_default() -> None:
    assert output(default=300) == 300
    assert output(default=300, n=2) == 600
    assert output(default=300, max_tokens=7) == 7


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/moderations", "/v1/rerank", "/v1/audio/speech"])
def test_what_generates_nothing(path: str) -> None:
    assert output(path, 300, max_tokens=5) == 0


@pytest.mark.parametrize(
    ("path", "values", "most"),
    [
        (CHAT, {}, 0),
        (CHAT, {"max_tokens": 7}, 7),
        (CHAT, {"max_tokens": 7, "n": 3}, 21),
        (CHAT, {"max_tokens": 7, "n_predict": 9}, 9),
        (CHAT, {"max_tokens": 7, "max_completion_tokens": -1}, 0),
        (CHAT, {"max_output_tokens": 7}, 0),
        ("/v1/embeddings", {"max_tokens": 7}, 0),
    ],
)
def test_the_most_that_the_request_itself_states(path: str, values: dict[str, Any], most: int) -> None:
    assert of(body_of(**values), path).most == most


@pytest.mark.parametrize(
    ("path", "values", "outside"),
    [
        (CHAT, {"messages": message("x"), "tools": [{"type": "function"}]}, False),
        (CHAT, {"messages": message([{"type": "image_url", "image_url": {"url": IMAGE}}])}, False),
        (
            CHAT,
            {"messages": message([{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}])},
            True,
        ),
        (CHAT, {"messages": message([{"type": "file", "file": {"file_id": "file-1"}}])}, True),
        (CHAT, {"web_search_options": {}}, True),
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_1"}, True),
        ("/v1/responses", {"input": "x", "conversation": "conv_1"}, True),
        ("/v1/responses", {"input": "x", "tools": [{"type": "web_search"}]}, True),
        ("/v1/responses", {"prompt": {"id": "pmpt_1"}}, True),
    ],
)
def test_whether_the_prompt_has_more_than_the_requests_bytes(
    path: str, values: dict[str, Any], *, outside: bool
) -> None:
    assert of(body_of(**values), path).outside is outside


@pytest.mark.parametrize(
    "more", [{}, {"content": None}, {"content": [{"type": "image_url", "image_url": "http://x/y"}]}, [], "text", 1]
)
def test_one_message_that_is_not_text_has_all_looked_at(more: Any) -> None:
    """A message that is not all text makes all messages be read one by one; messages of text are recognised
    together.
    """
    text = {"role": "user", "content": "hello"}
    media = isinstance(more, dict) and isinstance(more.get("content"), list)
    for messages in ([more, text], [text, more], [more]):
        estimated = of(json.dumps({"model": "m", "messages": messages}).encode())
        assert bool(estimated.media) is media


@pytest.mark.parametrize("messages", [None, 5, "text", {"content": "x"}, [], {}])
def test_what_are_no_messages_has_no_media(messages: Any) -> None:
    assert of(json.dumps({"model": "m", "messages": messages}).encode()).media == 0
