"""Every endpoint that a client may call. A path that is not here reaches no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class BodyKind(Enum):
    """How a request names its model."""

    NONE = auto()  # not at all; the translator answers the request itself
    JSON = auto()  # in the top-level member `model`
    FORM = auto()  # in the field `model` of multipart/form-data


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint. `streams` says that `"stream": true` means something here, `stream_usage` that a stream's usage
    must be requested, and `background` that `"background": true` asks for an answer to be fetched later.
    """

    method: str
    path: str
    body: BodyKind
    streams: bool = False
    stream_usage: bool = False
    background: bool = False

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the endpoint accepts: HEAD wherever GET is served (RFC 9110 section 9.1)."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

ENDPOINTS = (
    Endpoint("POST", CHAT, BodyKind.JSON, streams=True, stream_usage=True),
    Endpoint("POST", "/v1/completions", BodyKind.JSON, streams=True, stream_usage=True),
    Endpoint("POST", RESPONSES, BodyKind.JSON, streams=True, background=True),
    Endpoint("POST", "/v1/embeddings", BodyKind.JSON),
    Endpoint("POST", "/v1/moderations", BodyKind.JSON),
    Endpoint("POST", "/v1/rerank", BodyKind.JSON),
    Endpoint("POST", "/v1/images/generations", BodyKind.JSON, streams=True),
    Endpoint("POST", "/v1/images/edits", BodyKind.FORM, streams=True),
    Endpoint("POST", "/v1/images/variations", BodyKind.FORM),
    Endpoint("POST", "/v1/audio/speech", BodyKind.JSON),
    Endpoint("POST", "/v1/audio/transcriptions", BodyKind.FORM, streams=True),
    Endpoint("POST", "/v1/audio/translations", BodyKind.FORM),
    Endpoint("GET", "/v1/models", BodyKind.NONE),
)
#: The one path with a parameter; a model's name may contain slashes.
MODEL_PREFIX = b"/v1/models/"
MODEL = Endpoint("GET", "/v1/models/{model}", BodyKind.NONE)

BY_PATH: Mapping[bytes, Endpoint] = {endpoint.path.encode(): endpoint for endpoint in ENDPOINTS}


def find(path: bytes) -> Endpoint | None:
    """Returns the endpoint at exactly this path, without query; each path has one method."""
    endpoint = BY_PATH.get(path)
    if endpoint is None and path.startswith(MODEL_PREFIX) and len(path) > len(MODEL_PREFIX):
        return MODEL
    return endpoint
