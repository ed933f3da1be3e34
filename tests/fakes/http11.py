"""The server's half of HTTP/1.1, just enough for a fake: requests as they arrived, with header order and
spelling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
Headers = tuple[tuple[str, str], ...]


class MalformedRequestError(Exception):
    """The received bytes are not HTTP/1.1: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `target` is the request line's, including the query; `headers` have the order and spelling
    received.
    """

    method: str
    target: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        """Returns the first header of that name (any case), or an empty string."""
        return _first(self.headers, name)


def _first(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")


class RequestReader:
    """Splits received bytes into requests. Bodies by Content-Length or chunked (RFC 9112 sections 6 and 7)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[str, str, Headers] | None = None
        self._length: int | None = None  # None: chunked
        self._chunks = bytearray()
        self._chunk_left: int | None = None  # None: a chunk's size line comes next
        self.expects_continue = False

    @property
    def partial(self) -> bool:
        """True if part of a request has been read."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> list[Request]:
        """Returns the requests completed by `data`. Raises MalformedRequestError."""
        self._buffer += data
        requests: list[Request] = []
        while self._head is not None or self._read_head():
            body = self._read_chunked() if self._length is None else self._read_sized(self._length)
            if body is None:
                break
            assert self._head is not None
            requests.append(Request(*self._head, body))
            self._head = None
            self.expects_continue = False
        return requests

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        try:
            method, target, _version = lines[0].split(" ")
            pairs = [line.split(":", 1) for line in lines[1:]]
            headers = tuple((name, value.strip()) for name, value in pairs)
            if "chunked" in _first(headers, "transfer-encoding").lower():
                self._length = None
            else:
                self._length = int(_first(headers, "content-length") or 0)
        except ValueError as error:
            raise MalformedRequestError(lines[0][:100]) from error
        self._head = (method, target, headers)
        self.expects_continue = _first(headers, "expect").lower() == "100-continue"
        return True

    def _read_sized(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _read_chunked(self) -> bytes | None:
        while True:
            if self._chunk_left is None:
                line = self._read_line()
                if line is None:
                    return None
                try:
                    self._chunk_left = int(line.partition(b";")[0], 16)
                except ValueError as error:
                    raise MalformedRequestError("chunk size") from error
            if len(self._buffer) < self._chunk_left + 2:
                return None
            last = self._chunk_left == 0
            self._chunks += self._buffer[: self._chunk_left]
            del self._buffer[: self._chunk_left + 2]  # without trailers, the last chunk ends like the others
            self._chunk_left = None
            if last:
                body = bytes(self._chunks)
                self._chunks.clear()
                return body


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Returns a response's status line and headers."""
    lines = [
        f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Returns one chunk of a chunked body; for empty `data`, the last one."""
    return b"%x\r\n%s\r\n" % (len(data), data)
