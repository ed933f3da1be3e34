"""The estimate of a request's usage: it is within bounds, and no text escapes it, in any surroundings."""

from __future__ import annotations

import json
from collections.abc import Iterator

from fuzz.targets._pieces import headed
from translator.bodies import estimate
from translator.bodies.estimate import BYTES_PER_TOKEN, MAX_TOKENS, Estimate
from translator.bodies.json_body import parse
from translator.errors import Refusal

UNDER_TEST = ("translator.bodies.estimate",)
_PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"),
    *("/v1/rerank", "/v1/images/generations", "/v1/audio/speech"),
)
_TEXT = "word " * 4_000


def check(data: bytes) -> bool:
    """The first byte chooses the endpoint; the rest is the body."""
    chosen, body = headed(data)
    path = _PATHS[chosen % len(_PATHS)]
    estimated = _estimated(path, body)
    if estimated is None:
        return False
    assert 1 <= estimated.prompt <= MAX_TOKENS
    assert 0 <= estimated.most <= MAX_TOKENS
    assert estimated.most <= estimated.output(0) <= MAX_TOKENS
    brace = body.index(b"{") + 1
    for more in (body[:brace] + b'"text":"%b",' % _TEXT.encode() + body[brace:], *_with_a_message(body)):
        estimated = _estimated(path, more)
        # None if the body has only permitted members.
        assert estimated is None or estimated.prompt >= len(_TEXT) // BYTES_PER_TOKEN
    return True


def _with_a_message(body: bytes) -> Iterator[bytes]:
    """Returns the body with the text in another message: plain, as a part, and where another medium has its
    own.
    """
    document = json.loads(body)
    messages = document.get("messages")
    if not isinstance(messages, list):
        return
    for content in (
        _TEXT,
        [{"type": "text", "text": _TEXT}],
        [{"type": "image_url", "text": _TEXT, "image_url": {"url": "https://a.example/a.png"}}],
        [{"type": "image_url", "image_url": {"url": _TEXT}}],
        [{"type": "input_audio", "input_audio": {"data": _TEXT, "format": "wav"}}],
        [{"type": "file", "file": {"file_data": f"data:{_TEXT}"}}],
    ):
        message = {"role": "user", "content": content}
        yield json.dumps({**document, "messages": [*messages, message]}).encode()


def _estimated(path: str, body: bytes) -> Estimate | None:
    try:
        values = parse(body).values
    except Refusal:
        return None
    return estimate.of_json(path, body, values)
