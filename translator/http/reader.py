"""Parses bytes into requests, without I/O. Strict: what RFC 9112 leaves open to interpretation is refused."""

from __future__ import annotations

import re

from translator.errors import MalformedHttpError, body_too_large
from translator.http.chunked import ChunkedBody
from translator.message import Request

#: Envoy limits a client's headers to 60 KiB and adds a few of its own.
MAX_HEAD = 96 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([!-~\x80-\xff]+) HTTP/1\.1\r\n")
#: Anchored behind a line feed: if there are as many matches as line feeds, every line matched from its start.
_FIELD = re.compile(rb"(?<=\n)(" + _TOKEN + rb"):[ \t]*([^\r\n\0]*)\r\n")
_LENGTH = re.compile(rb"[0-9]{1,15}")


class RequestReader:
    """Splits received bytes into requests. Each `feed` returns at most one; feed it nothing to get the next one
    that has already arrived.
    """

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._rest = b""
        self._request: Request | None = None  # its head has arrived, its body has not
        self._pieces: list[bytes] = []
        self._missing = 0
        self._chunked: ChunkedBody | None = None

    @property
    def idle(self) -> bool:
        """True while nothing of a next request has arrived."""
        return self._request is None and not self._rest

    @property
    def rest(self) -> bytes:
        """The bytes that arrived after the last request."""
        return self._rest

    def feed(self, data: bytes) -> Request | None:
        """Takes received bytes. Raises MalformedHttpError; after that the connection must be closed."""
        if self._request is not None:
            return self._feed_body(self._request, data)
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(data) >= MAX_HEAD:
                raise MalformedHttpError(431, "bad_request", f"The headers are larger than {MAX_HEAD} bytes.")
            self._rest = data
            return None
        request = _head(data[: end + 2])
        start = end + 4
        if b"transfer-encoding" in request.headers:
            self._chunked = _chunked(request, self._max_body)
            self._request = request
            return self._feed_body(request, data[start:])
        length = _length(request)
        if length > self._max_body:
            raise body_too_large(self._max_body)
        there = len(data) - start
        if there < length:
            self._request = request
            self._pieces = [data[start:]]
            self._missing = length - there
            return None
        request.body = data[start : start + length]
        if there > length:
            self._rest = data[start + length :]
        return request

    def _feed_body(self, request: Request, data: bytes) -> Request | None:
        if self._chunked is not None:
            self._chunked.feed(data)
            if not self._chunked.finished:
                return None
            request.body = self._chunked.body
            self._rest = self._chunked.rest
            self._chunked = None
        else:
            self._pieces.append(data[: self._missing])
            if len(data) < self._missing:
                self._missing -= len(data)
                return None
            request.body = b"".join(self._pieces)
            self._rest = data[self._missing :]
            self._pieces = []
            self._missing = 0
        self._request = None
        return request


def _head(head: bytes) -> Request:
    """Returns the request of a head without its final empty line."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise MalformedHttpError(400, "bad_request", "The request line is not `METHOD target HTTP/1.1`.")
    fields = _FIELD.findall(head, line.end() - 1)
    if len(fields) != head.count(b"\n") - 1:
        raise MalformedHttpError(400, "bad_request", "A header line is malformed.")
    headers = {name.lower(): value.rstrip(b" \t") for name, value in fields}
    if len(headers) != len(fields):
        headers = _joined(fields)
    return Request(line[1].decode("ascii"), line[2], headers)


def _joined(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Joins repeated headers into one list (RFC 9110 section 5.2)."""
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        key, text = name.lower(), value.rstrip(b" \t")
        headers[key] = headers[key] + b", " + text if key in headers else text
    return headers


def _length(request: Request) -> int:
    """Returns the bytes of the body. A repeated Content-Length does not parse as a number and is refused."""
    text = request.headers.get(b"content-length")
    if text is None:
        return 0
    if not _LENGTH.fullmatch(text):
        raise MalformedHttpError(400, "bad_request", "Content-Length is not one decimal number.")
    return int(text)


def _chunked(request: Request, max_body: int) -> ChunkedBody:
    if b"content-length" in request.headers:
        raise MalformedHttpError(400, "bad_request", "Content-Length and Transfer-Encoding exclude each other.")
    if request.headers[b"transfer-encoding"].lower() != b"chunked":
        raise MalformedHttpError(400, "bad_request", "The only Transfer-Encoding accepted is `chunked`.")
    return ChunkedBody(max_body)
