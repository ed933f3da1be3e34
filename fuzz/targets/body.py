"""A JSON request body: the translator reads the same as json.loads, and its edits change only what they should."""

from __future__ import annotations

import json
import sys
from typing import Any

from translator.bodies.json_body import parse
from translator.errors import Refusal

UNDER_TEST = ("translator.bodies.json_body",)
NEW = "vendor/other"
#: The members that decide about routing and cost; a server in Go would accept other cases for them too.
DECIDING = frozenset({"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "user"})


def check(data: bytes) -> bool:
    """Checks that a body is refused, or read as any other parser reads it."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # the other parser accepts numbers of any length
    try:
        return _check(data)
    finally:
        sys.set_int_max_str_digits(limit)


def _check(data: bytes) -> bool:
    try:
        body = parse(data)
        usage = body.usage_edit()
    except Refusal as refusal:
        assert refusal.status in {400, 413}
        return False
    meant = json.loads(data)
    assert body.model == (meant.get("model") or "")
    assert body.streams is (meant.get("stream") is True)
    assert not [name for name in meant if name not in DECIDING and name.casefold() in DECIDING]
    if "model" in meant:
        offset, length = body.model_value()
        assert json.loads(data[offset : offset + length]) == meant["model"]
        assert _loads(data, offset, length, json.dumps(NEW)) == {**meant, "model": NEW}
    else:
        assert _loads(data, *body.opening(), f'{{"model":{json.dumps(NEW)},') == {**meant, "model": NEW}
    if usage is not None:
        options = meant.get("stream_options") or {}
        asked = {**meant, "stream_options": {**options, "include_usage": True}}
        assert _loads(data, usage.offset, usage.length, usage.text) == asked
    return True


def _loads(data: bytes, offset: int, length: int, text: str) -> Any:
    return json.loads(data[:offset] + text.encode() + data[offset + length :])
