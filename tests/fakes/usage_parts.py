"""The parts of answers in which providers report usage, see `usage_shapes`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """An answer with the usage that it amounts to: `used` are the fields of `Tokens` that are not 0.

    A stream is a list of events; `hidden` are those that a client which did not request usage does not get.
    """

    name: str
    body: Json | list[Json | str]
    used: Json
    hidden: tuple[int, ...] = ()
    #: Text that has tokens reserved.
    generates: bool = True
    #: The requested units, as in `translator.bodies.requested_units`.
    units: str = ""

    @property
    def streamed(self) -> bool:
        return isinstance(self.body, list)

    def events(self, *, line_end: str = "\n", prefix: str = "data: ", hidden: bool = True) -> list[bytes]:
        """Returns each event with its empty line; without `hidden`, only those that the client gets."""
        shown = []
        for index, event in enumerate(self.body):
            if not hidden and index in self.hidden:
                continue
            text = event if isinstance(event, str) else prefix + json.dumps(event, separators=(",", ":"))
            shown.append((text.replace("\n", line_end) + 2 * line_end).encode())
        return shown


def chunk(*choices: Json, **more: Any) -> Json:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m"}
    return {**base, "choices": list(choices), **more}


def said(text: str, **more: Any) -> Json:
    return {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None, **more}


def end(**more: Any) -> Json:
    return {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop", **more}


def chat(usage: Json | None, **more: Any) -> Json:
    message = {"role": "assistant", "content": "Hello there, friend.", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def counts(prompt: int, completion: int, **more: Any) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **more,
    }


def used(prompt: int, completion: int, **more: Any) -> Json:
    return {"prompt": prompt, "completion": completion, **more}


def typed(kind: str, **more: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}"


DONE = "data: [DONE]"
PLAIN = counts(19, 10)
RESPONSES = {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123,
}
#: Members of an answer that repeats its client's tools, metadata and text.
ECHO = {
    "tools": [{"type": "function", "name": "f", "parameters": {"properties": {"usage": {"total_tokens": 0}}}}],
    "metadata": {"usage": '{"input_tokens": 0, "output_tokens": 0}'},
    "text": {"format": {"type": "json_schema", "schema": {"usage": {"input_tokens": 0, "output_tokens": 0}}}},
}
