"""The parts of a fake provider's answers that several endpoints share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.behaviour import Behaviour

CREATED = 1_700_000_000
IMAGE_TOKENS = 85
LIE = 2_000_000_000
Json = dict[str, Any]


class RefusedError(Exception):
    """The provider's own refusal, which becomes OpenAI's error object with `status`."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; the tokens are those of its reported usage, if it reports any."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EventStream:
    """Server-sent events, each with its blank line; the tokens are those of the whole stream."""

    events: Iterator[bytes]
    prompt_tokens: int = 0
    completion_tokens: int = 0


def error(status: int, message: str, code: str | None = None, param: str | None = None) -> Answer:
    """Returns OpenAI's error object."""
    kinds = {401: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return json_answer({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def json_answer(value: Json, status: int = 200) -> Answer:
    """Returns a whole answer in JSON."""
    return Answer(status, json.dumps(value).encode())


def event(value: Json, kind: str = "") -> bytes:
    """Returns one server-sent event with its blank line."""
    prefix = f"event: {kind}\n" if kind else ""
    return f"{prefix}data: {json.dumps(value)}\n\n".encode()


def pieces_of(name: str, behaviour: Behaviour) -> list[str]:
    """Returns the content in the pieces in which a stream sends it."""
    if behaviour.numbered:
        return [f"{number} " for number in range(behaviour.events)]
    if behaviour.events:
        return ["x" * (behaviour.event_bytes - 1) + " " if behaviour.event_bytes else "word "] * behaviour.events
    return re.findall(r"\S+\s*", f"Hello from provider {name}.")


def content_tokens(content: object) -> int:
    """Returns the tokens of a message's content. Raises RefusedError for a kind of content that OpenAI does not
    have.
    """
    if isinstance(content, str):
        return len(content.split())
    total = 0
    for part in content if isinstance(content, list) else []:
        if part.get("type") in {"text", "input_text", "output_text"}:
            total += len(part["text"].split())
        elif part.get("type") == "image_url":
            if not str(part.get("image_url", {}).get("url", "")).startswith(
                ("https://", "http://", "data:image/")
            ):
                raise RefusedError(400, "Invalid image URL.", "invalid_image_url", "messages")
            total += IMAGE_TOKENS
        elif part.get("type") == "input_image":
            total += IMAGE_TOKENS
        else:
            raise RefusedError(400, f"Invalid content type {part.get('type')!r}.", param="messages")
    return total


def reported_usage(usage: Json, model: str) -> Json:
    """Returns the answer's member `usage`, as far as the model reports it."""
    if "silent" in model:
        return {}
    if "lying" in model:
        return {"usage": {name: LIE if isinstance(count, int) else count for name, count in usage.items()}}
    if "partly" in model:
        return {"usage": {"total_tokens": usage["total_tokens"]} if "total_tokens" in usage else None}
    return {"usage": usage}


def cut(pieces: list[str], body: Json) -> tuple[list[str], str]:
    """Returns the pieces up to the request's own maximum, and the reason why the answer ends."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens")
    if isinstance(limit, int) and limit < len(pieces):
        return pieces[:limit], "length"
    return pieces, "stop"
