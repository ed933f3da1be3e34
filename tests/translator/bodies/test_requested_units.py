from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translator.bodies.test_audio import wav
from translator import endpoints
from translator.bodies import facts, requested_units
from translator.bodies.requested_units import RequestedUnits


def of_json(path: str, **body: Any) -> str:
    endpoint = endpoints.find(path.encode())
    assert endpoint is not None
    return facts.read(json.dumps({"model": "m", **body}).encode(), b"application/json", endpoint)[0].units


def of_form(path: str, file: tuple[str, bytes], **fields: str) -> str:
    endpoint = endpoints.find(path.encode())
    assert endpoint is not None
    parts = [
        f'content-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {"model": "m", **fields}.items()
    ]
    name, content = file
    disposition = f'content-disposition: form-data; name="{name}"; filename="f"\r\n'.encode()
    parts.append(disposition + b"content-type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    body = b"".join(b"--x\r\n" + part for part in parts) + b"--x--\r\n"
    return facts.read(body, b"multipart/form-data; boundary=x", endpoint)[0].units


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/completions"])
def test_text_needs_no_word(path: str) -> None:
    assert of_json(path, messages=[], input="x", prompt="x", n=3, size="1024x1024") == ""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, RequestedUnits("i", 1)),
        ({"n": 3, "size": "1024x1536", "quality": "high"}, RequestedUnits("i", 3, "1024x1536", "high")),
        ({"size": "1024X1536", "quality": "HIGH"}, RequestedUnits("i", 1, "1024x1536", "high")),
        ({"n": 10**9}, RequestedUnits("i", 1_000)),
        ({"n": "x", "size": "a b", "quality": 3}, RequestedUnits("i", 1)),
        ({"size": "a:b", "quality": "é"}, RequestedUnits("i", 1)),
        ({"size": "x" * 33}, RequestedUnits("i", 1)),
    ],
)
def test_images(fields: dict[str, Any], expected: RequestedUnits) -> None:
    assert requested_units.read(of_json("/v1/images/generations", prompt="a cat", **fields)) == expected


def test_images_that_are_edited() -> None:
    word = of_form("/v1/images/edits", ("image", b"png"), n="2", size="512x512", quality="low")
    assert requested_units.read(word) == RequestedUnits("i", 2, "512x512", "low")


def test_speech_counts_characters_not_bytes() -> None:
    word = of_json("/v1/audio/speech", input="Grüße 🙂", response_format="wav")
    assert requested_units.read(word) == RequestedUnits("s", 7, "wav")


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_transcription_is_as_long_as_its_upload(path: str) -> None:
    assert requested_units.read(of_form(path, ("file", wav(3.5)))) == RequestedUnits("t", 3_500)
    assert requested_units.read(of_form(path, ("other", wav(3.5)))) == RequestedUnits("t", 0, "about")


def test_a_rerank_has_documents() -> None:
    assert requested_units.read(of_json("/v1/rerank", query="q", documents=["a", "b", "c"])) == RequestedUnits(
        "r", 3
    )


@pytest.mark.parametrize("word", ["", "x1", "i", "i-1", "ix", "more", "1"])
def test_what_is_no_word(word: str) -> None:
    assert requested_units.read(word) is None


@pytest.mark.parametrize(
    ("spoken", "least"), [("abc", 3), (["abc", "de"], 5), ({"text": "abc" * 100}, 300), (None, 0)]
)
def test_every_character_of_speech_counts_however_it_is_wrapped(spoken: object, least: int) -> None:
    found = requested_units.read(of_json("/v1/audio/speech", input=spoken))
    assert found is not None
    assert least <= found.count <= least + 20
