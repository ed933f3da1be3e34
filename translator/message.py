"""Requests and responses as values, and a response as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Request(msgspec.Struct):
    """A request. `target` is path and query as sent. Header names are in lower case; repeated headers are joined
    by commas.

    A body that is too long to be copied in one piece is in `pieces`, and `body` is empty. `replaced`, if set, is a
    number of bytes at the beginning of the body and their replacement.

    Not frozen: freezing would cost more than parsing the request line.
    """

    method: str
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes = b""
    pieces: tuple[bytes, ...] = ()
    replaced: tuple[int, bytes] | None = None

    def __repr__(self) -> str:
        """Leaves out credentials and prompts, which must not be logged."""
        return f"Request({self.method!r}, {self.target!r})"


@dataclass(slots=True)
class Response:
    """Header values must be Latin-1 without control characters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def json(cls, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
        """Returns a response whose `body` is JSON already."""
        return cls(status, {"content-type": "application/json", **(headers or {})}, body)

    def encode(self, *, head_only: bool = False) -> bytes:
        """Returns the response's bytes. `head_only` is for HEAD, whose answer states a length but has no body (RFC
        9110 section 9.3.2).
        """
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        head = f"{_STATUS_LINES[self.status]}{''.join(lines)}content-length: {len(self.body)}\r\n\r\n"
        return head.encode("latin-1") if head_only else head.encode("latin-1") + self.body
