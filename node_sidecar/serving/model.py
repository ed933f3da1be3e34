"""Which model a request's body asks for."""

from __future__ import annotations

import json
import re

from node_sidecar.serving.endpoints import BodyKind
from node_sidecar.serving.refusal import Refusal

_BOUNDARY = re.compile(
    rb"multipart/form-data[ \t]*;(?:.*;)?[ \t]*boundary=(?:\"([^\"\r\n]{1,70})\"|([^\s;\",]{1,70}))", re.IGNORECASE
)
_MODEL_PART = re.compile(
    rb"content-disposition:[ \t]*form-data[ \t]*;[ \t]*name=(?:\"model\"|model)[ \t]*", re.IGNORECASE
)
_MAX_PARTS = 1_000
_MAX_PART_HEAD = 16_384


def requested_model(kind: BodyKind, body: bytes, content_type: bytes) -> str:
    """Raises Refusal (400). The gateway has checked the form strictly; this only has to find the name."""
    model = _in_json(body) if kind is BodyKind.JSON else _in_form(body, content_type)
    if not model:
        raise Refusal(400, "missing_model", "The request must name a model in 'model'.", param="model")
    return model


def _in_json(body: bytes) -> str | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "invalid_json", "The request's body is not JSON.") from None
    model = value.get("model") if isinstance(value, dict) else None
    return model if isinstance(model, str) else None


def _in_form(body: bytes, content_type: bytes) -> str | None:
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        message = "This endpoint takes a form: the content-type must be `multipart/form-data; boundary=…`."
        raise Refusal(400, "invalid_content_type", message)
    delimiter = b"\r\n--" + (match[1] or match[2])
    after = len(delimiter) - 2 if body.startswith(delimiter[2:]) else -1
    for _ in range(_MAX_PARTS):
        if after < 0 or not body.startswith(b"\r\n", after):
            return None
        head_end = body.find(b"\r\n\r\n", after, after + _MAX_PART_HEAD)
        # From two bytes earlier: an empty part's delimiter begins with the line end that ends its headers.
        end = body.find(delimiter, head_end + 2)
        if head_end < 0 or end < 0:
            return None
        if any(_MODEL_PART.fullmatch(line) for line in body[after + 2 : head_end].split(b"\r\n")):
            return body[head_end + 4 : end].decode(errors="replace")
        after = end + len(delimiter)
    return None
