"""What is passed on to a local server. Its other paths (load, unload, new weights, shutdown) stay its owner's."""

from __future__ import annotations

import re
from enum import Enum, auto


class BodyKind(Enum):
    """How a request names its model."""

    JSON = auto()  # the top-level member `model`
    FORM = auto()  # the field `model` of multipart/form-data


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
_QUERY = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*")


def find(method: bytes, target: bytes) -> tuple[BodyKind, str] | None:
    """How the request names its model, and what to append to a local server's base URL. None: not passed on.

    Exact paths only: no dots, doubled slashes or encodings that another parser could read as another path.
    """
    path, _, query = target.partition(b"?")
    kind = _ENDPOINTS.get(path)
    if method != b"POST" or kind is None or not _QUERY.fullmatch(query):
        return None
    return kind, target.removeprefix(b"/v1").decode("ascii")
