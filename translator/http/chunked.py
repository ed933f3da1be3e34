"""Chunked bodies (RFC 9112 section 7.1), which Envoy sends when it does not know the length."""

from __future__ import annotations

import re

from translator.errors import MalformedHttpError, body_too_large

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?")
_MAX_LINE = 4096
_MAX_TRAILERS = 65_536


class ChunkedBody:
    """Decodes a chunked body. `finished` says that the body is complete; `rest` is what followed it."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._body = bytearray()
        self._trailers = 0
        self._in_trailers = False
        self.finished = False

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    @property
    def rest(self) -> bytes:
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Takes received bytes. Raises MalformedHttpError."""
        self._buffer += data
        position = 0
        while not self.finished:
            after = self._trailer(position) if self._in_trailers else self._chunk(position)
            if after is None:
                break
            position = after
        del self._buffer[:position]

    def _chunk(self, start: int) -> int | None:
        """Takes the chunk that begins at `start`. Returns where the next one begins; None while the chunk is
        incomplete.
        """
        end = self._buffer.find(b"\r\n", start, start + _MAX_LINE)
        if end < 0:
            if len(self._buffer) - start >= _MAX_LINE:
                raise MalformedHttpError(400, "bad_request", "The line with a chunk's size is too long.")
            return None
        match = _SIZE_LINE.fullmatch(self._buffer, start, end)
        if match is None:
            raise MalformedHttpError(400, "bad_request", "A chunk's size is not a hexadecimal number.")
        size = int(match[1], 16)
        if len(self._body) + size > self._max_body:
            raise body_too_large(self._max_body)
        data = end + 2
        if size == 0:
            self._in_trailers = True
            return data
        if len(self._buffer) < data + size + 2:
            return None
        if self._buffer[data + size : data + size + 2] != b"\r\n":
            raise MalformedHttpError(400, "bad_request", "A chunk is longer than its stated size.")
        self._body += memoryview(self._buffer)[data : data + size]
        return data + size + 2

    def _trailer(self, start: int) -> int | None:
        """Skips one trailer line; an empty line ends the body."""
        end = self._buffer.find(b"\r\n", start)
        if self._trailers + len(self._buffer) - start > _MAX_TRAILERS and end < 0:
            raise MalformedHttpError(431, "bad_request", "The trailers are too large.")
        if end < 0:
            return None
        self._trailers += end - start
        self.finished = end == start
        return end + 2
