"""Reads the model's name from a request's body."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any
from urllib.parse import unquote_plus

from node_sidecar.serving.endpoints import BodyKind
from node_sidecar.serving.refusal import Refusal

_BOUNDARY = re.compile(
    rb"multipart/form-data[ \t]*(?:;[^;\"]*|;[^;\"]*\"[^\"]*\"[ \t]*)*?;[ \t]*"
    rb"boundary=(?:\"([^\"\r\n]{1,70})\"|([^\s;\",]{1,70}))[ \t]*(?:;.*)?",
    re.IGNORECASE,
)
_PADDING = re.compile(rb"[ \t]*\r\n")
#: Other parameters may surround the name. The gateway has refused anything that looks like a second name, or a
#: file.
_MODEL_PART = re.compile(
    rb"content-disposition:[ \t]*form-data[ \t]*(?!.*filename)(?:;.*)?;"
    rb"[ \t]*name=(?:\"model\"|model)[ \t]*(?:;.*)?",
    re.IGNORECASE,
)
_MAX_PARTS = 1_000
_MAX_PART_HEAD = 16_384


def requested_model(kind: BodyKind, body: bytes, content_type: bytes, named: bytes = b"", query: str = "") -> str:
    """Returns the model's name. The gateway has checked a form strictly; this function only has to find the name.
    `named` is the gateway's header for requests whose body names no model: a JSON string. `query` is the URL's.

    Raises:
        Refusal: 400.
    """
    if any(_is_model(unquote_plus(each.partition("=")[0])) for each in query.split("&")):
        # Some local servers let the query replace the body's model.
        raise Refusal(400, "ambiguous_parameter", "The query must not have a parameter 'model'.", param="model")
    if kind is BodyKind.NONE:
        model = _named(named)
    else:
        model = _in_json(body) if kind is BodyKind.JSON else _in_form(body, content_type)
    if not model:
        raise Refusal(400, "missing_model", "The request must name a model in 'model'.", param="model")
    return model


def _named(text: bytes) -> str | None:
    try:
        model = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return model if isinstance(model, str) else None


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in order, including repeated ones."""


def _in_json(body: bytes) -> str | None:
    try:
        value = json.loads(body, object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        raise Refusal(400, "invalid_json", "The request's body is not JSON.") from None
    if not isinstance(value, _Members):
        return None
    models = [(name, model) for name, model in value if _is_model(name)]
    if len(models) > 1 or any(name != "model" for name, _ in models):
        # A local server may match names case-insensitively, and serve another model than this one.
        message = "The request's body must have one member 'model', and no other that differs only in case."
        raise Refusal(400, "ambiguous_parameter", message, param="model")
    model = models[0][1] if models else None
    return model if isinstance(model, str) else None


def _is_model(name: str) -> bool:
    """Returns whether a lenient parser may read `name` as `model`: ignoring case, `_` and `-`, or stopping at a
    NUL.
    """
    if name == "model":
        return True
    plain = unicodedata.normalize("NFKC", name.partition("\0")[0]).casefold()
    return plain.replace("_", "").replace("-", "") == "model"


def _in_form(body: bytes, content_type: bytes) -> str | None:
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        message = "This endpoint takes a form: the content-type must be `multipart/form-data; boundary=…`."
        raise Refusal(400, "invalid_content_type", message)
    delimiter = b"--" + (match[1] or match[2])
    at = body.find(delimiter)
    if at > 0 and body[at - 2 : at] != b"\r\n":
        return None
    for _ in range(_MAX_PARTS):
        line_end = _PADDING.match(body, at + len(delimiter)) if at >= 0 else None
        if line_end is None:
            return None
        head_end = body.find(b"\r\n\r\n", line_end.end() - 2, line_end.end() + _MAX_PART_HEAD)
        at = body.find(b"\r\n" + delimiter, head_end + 4)
        if head_end < 0 or at < 0:
            return None
        if any(_MODEL_PART.fullmatch(line) for line in body[line_end.end() : head_end].split(b"\r\n")):
            return body[head_end + 4 : at].decode(errors="replace")
        at += 2
    return None
