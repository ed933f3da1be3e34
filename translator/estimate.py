"""How many tokens a request may use, before anyone has served it: what is reserved for it.

An estimate, on purpose without a tokeniser: what was really used is settled afterwards. It costs microseconds also
for the largest body, and values that no target would accept make it large, never negative or small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from translator.body import JsonBody
from translator.form import FormBody

#: Where nothing else is known.
DEFAULT_OUTPUT = 1_024
#: Prompt tokens of an image, sound or file, which are not counted as text: those of a large image in high detail.
MEDIUM = 765
BYTES_PER_TOKEN = 4
#: Above it, nothing is told apart any more.
MOST_TOKENS = 1_000_000_000

#: Bodies below it are taken for text as they are, unless they may have an image in them.
_SMALL = 8_192
_IMAGE = re.compile(b"image")  # as a pattern: twice as fast as `in`
#: Values that are looked at; a body with more is taken for text.
_MOST_VALUES = 10_000
#: What generates no tokens.
_NO_OUTPUT = frozenset({"/v1/embeddings", "/v1/moderations", "/v1/rerank", "/v1/audio/speech"})
_MAXIMA = ("max_completion_tokens", "max_tokens", "max_output_tokens")
#: Types of parts that hold a medium, and their members that do.
_MEDIA = frozenset(
    {"image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "video_url", "input_video"}
    | {"image_generation_call", "computer_screenshot"}
)
_MEDIUM_MEMBERS = frozenset(
    {"image_url", "image", "input_audio", "audio", "file", "file_data", "video_url", "data", "source", "result"}
)


def prompt_tokens(body: bytes, parsed: JsonBody | FormBody) -> int:
    """Of the request's text a quarter of its bytes, and `MEDIUM` for everything else that is in it; at least 1."""
    if not isinstance(parsed, JsonBody):
        return MEDIUM
    if len(body) < _SMALL and not _IMAGE.search(body):
        return len(body) // BYTES_PER_TOKEN or 1
    return min(_walked(parsed.values, len(body)), MOST_TOKENS)


def output_tokens(path: str, parsed: JsonBody | FormBody, default: int) -> int:
    """The most that the request allows in all its answers; `default`, or `DEFAULT_OUTPUT` where that is 0, for
    each one if it states no maximum.
    """
    if path in _NO_OUTPUT:
        return 0
    if not isinstance(parsed, JsonBody):
        return default or DEFAULT_OUTPUT
    values = parsed.values
    most = 0
    for name in _MAXIMA:
        if name in values:
            most = max(most, _number(values[name]))
    answers = 1
    if "n" in values or "best_of" in values:
        answers = max(1, _number(values.get("n")), _number(values.get("best_of")))
    prompts = values.get("prompt")
    if type(prompts) is list and prompts and type(prompts[0]) is not int:
        answers *= len(prompts)  # completions: each prompt has its answers
    return min((most or default or DEFAULT_OUTPUT) * answers, MOST_TOKENS)


def _number(value: object) -> int:
    """As lenient as a target might be; 0 for what is no positive number."""
    if type(value) is str and value.isdecimal() and len(value) < 20:
        value = int(value)
    return min(int(value), MOST_TOKENS) if isinstance(value, int | float) and value > 0 else 0


def _walked(values: Mapping[str, Any], size: int) -> int:
    text = media = visited = 0
    waiting: list[Any] = [values]
    while waiting:
        value = waiting.pop()
        visited += 1
        if visited > _MOST_VALUES:
            return size // BYTES_PER_TOKEN
        kind = type(value)
        if kind is str:
            if value.startswith("data:"):
                media += 1
            else:
                text += len(value) if value.isascii() else len(value.encode())
        elif kind is dict:
            part = value.get("type")
            if type(part) is str and part in _MEDIA:
                media += 1
                waiting += [each for name, each in value.items() if name not in _MEDIUM_MEMBERS]
            else:
                waiting += value.values()
            text += sum(map(len, value))
        elif kind is list:
            if value and type(value[0]) is int:
                text += BYTES_PER_TOKEN * len(value)  # tokens already
            else:
                waiting += value
        else:
            text += BYTES_PER_TOKEN
    return max(1, -(-text // BYTES_PER_TOKEN) + MEDIUM * media)
