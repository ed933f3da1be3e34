"""The endpoints that are forwarded to a local server. Its other paths (load, unload, new weights, shutdown) stay
reserved for its owner.
"""

from __future__ import annotations

import re
from enum import Enum, auto


class BodyKind(Enum):
    """How a request names its model."""

    JSON = auto()  # the top-level member `model`
    FORM = auto()  # the field `model` of multipart/form-data
    NONE = auto()  # the gateway names it in a header


_ENDPOINTS = {
    b"/v1/chat/completions": BodyKind.JSON,
    b"/v1/completions": BodyKind.JSON,
    b"/v1/responses": BodyKind.JSON,
    b"/v1/embeddings": BodyKind.JSON,
    b"/v1/rerank": BodyKind.JSON,
    b"/v1/images/generations": BodyKind.JSON,
    b"/v1/images/edits": BodyKind.FORM,
    b"/v1/images/variations": BodyKind.FORM,
    b"/v1/audio/speech": BodyKind.JSON,
    b"/v1/audio/transcriptions": BodyKind.FORM,
    b"/v1/audio/translations": BodyKind.FORM,
}
#: A response that a local server has stored, and the operations on it.
_STORED = re.compile(rb"/v1/responses/(?!\.)[A-Za-z0-9_.=:+~-]{1,512}(/cancel|/input_items|)")
_STORED_METHODS = {
    b"": (b"GET", b"HEAD", b"DELETE"),
    b"/cancel": (b"POST",),
    b"/input_items": (b"GET", b"HEAD"),
}
_QUERY = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*")


def find(method: bytes, target: bytes) -> tuple[BodyKind, str] | None:
    """Returns how the request names its model, and the path to append to a local server's base URL. Returns None
    if the endpoint is not forwarded.

    Only exact paths match, without dots, doubled slashes or encodings that another parser could read as another
    path.
    """
    path, _, query = target.partition(b"?")
    kind = _stored(method, path) if method != b"POST" or path.endswith(b"/cancel") else _ENDPOINTS.get(path)
    if kind is None or not _QUERY.fullmatch(query):
        return None
    return kind, target.removeprefix(b"/v1").decode("ascii")


def _stored(method: bytes, path: bytes) -> BodyKind | None:
    found = _STORED.fullmatch(path)
    return BodyKind.NONE if found is not None and method in _STORED_METHODS[found[1]] else None
