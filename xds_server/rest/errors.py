"""The errors of REST calls that are refused before they are made, and their one shape on the wire.

RestError
└── MalformedBodyError  the body is not JSON
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import grpc

from xds_server.errors import XdsServerError

_PARAM = re.compile(r"([a-z_][a-z0-9_.\[\]]*): ")
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid_argument"),
    grpc.StatusCode.OUT_OF_RANGE: (400, "invalid_argument"),
    grpc.StatusCode.FAILED_PRECONDITION: (400, "failed_precondition"),
    grpc.StatusCode.UNAUTHENTICATED: (401, "unauthenticated"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "permission_denied"),
    grpc.StatusCode.NOT_FOUND: (404, "not_found"),
    grpc.StatusCode.ALREADY_EXISTS: (409, "already_exists"),
    grpc.StatusCode.ABORTED: (409, "aborted"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "resource_exhausted"),
    grpc.StatusCode.UNIMPLEMENTED: (501, "unimplemented"),
    grpc.StatusCode.UNAVAILABLE: (503, "unavailable"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "deadline_exceeded"),
}
_SERVER_ERROR = 500


class RestError(XdsServerError):
    """A call is refused: its whole answer."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, code: grpc.StatusCode, message: str) -> RestError:
        """Returns the error for a gRPC status."""
        status, word = _STATUS.get(code, (_SERVER_ERROR, "internal"))
        headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(status)
        return cls(status, word, message, headers)

    def body(self) -> bytes:
        """Returns `{"error": {"message", "type", "param", "code"}}`, as everywhere in the gateway."""
        message = str(self)
        found = _PARAM.match(message) if self.code == "invalid_argument" else None
        error = {
            "message": message,
            "type": "server_error" if self.status >= _SERVER_ERROR else "invalid_request_error",
            "param": found[1] if found else None,
            "code": self.code,
        }
        return json.dumps({"error": error}, ensure_ascii=False).encode()


class MalformedBodyError(RestError):
    """The body is not JSON. The text gives the position, and repeats nothing of the body."""

    def __init__(self, message: str) -> None:
        super().__init__(400, "malformed_json", message)
