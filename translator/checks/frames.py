"""Frames of Envoy's module as bytes, without I/O; `envoy/module/frames.c` is the counterpart. Little-endian:

    u32 bytes that follow, u64 number, u8 kind, u32 bytes of the head, head, body

The kinds of frames:

- A whole check has a head and the request's body. The head has a line for the method, one for path and query, and
  one for each of `ASKED`, which is empty for a header that the client did not send. The answer decides about the
  request.
- A head check has the same head and no body. It asks whether the body, which has not been read yet, may be read.
  The answer refuses the request or names the account on which the body is held. A whole check follows.
- A response-created notice has the lines of `ResponseCreated` as its head: the id of a response that its client
  has not seen yet, and the place that created it. It has no answer.
- An end notice has a request's id as its head, and the number of that request's whole check. The request is over,
  or its client no longer waits for the answer. It has no answer.
- A copy has the lines of `Copied` as its head and what the client was sent as its body. It has no answer.
- A notice that a machine turned a request away, or that one let it in after that, has the request's id as its
  head. It has no answer.
- A command's result has the command's token as its head and one line for each request concerned as its body. It
  has no answer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from itertools import compress

import msgspec

from translator.errors import MalformedFrameError
from translator.message import Request

#: The request headers that a check carries.
ASKED = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"content-type",
    b"content-encoding",
    b"x-request-id",
    b"x-trunkline-tag",
    b"cache-control",
    b"x-trunkline-max-price",
    b"openai-beta",
    b"anthropic-beta",
)
_FRAME = struct.Struct("<IQBI")
_SIZE = 4
#: Bytes of a frame before its head, and those of them that its first field counts.
_FIXED, _COUNTED = _FRAME.size, _FRAME.size - _SIZE
#: Envoy's limit for a client's headers is 60 KiB.
_MAX_HEAD = 96 * 1024
#: Bytes from which a check's body is never copied in one piece, because the copy would hold up other checks.
_LONG = 256 * 1024


class FrameKind(IntEnum):
    """The kinds of frames that Envoy's module sends."""

    WHOLE = 1
    HEAD = 2
    END = 3
    COPY = 4
    RESPONSE_CREATED = 5
    COMMAND_RESULT = 6
    TURNED_AWAY = 7
    LET_IN = 8


#: Python 3.11 takes as long to look up a member of an enum as to read a check.
_CHECKS, _END, _COPY = (
    frozenset({int(FrameKind.WHOLE), int(FrameKind.HEAD)}),
    int(FrameKind.END),
    int(FrameKind.COPY),
)
_RESPONSE_CREATED, _RESPONSE_CREATED_LINES = int(FrameKind.RESPONSE_CREATED), 4
_COMMAND_RESULT = int(FrameKind.COMMAND_RESULT)
_TURNED_AWAY, _LET_IN = int(FrameKind.TURNED_AWAY), int(FrameKind.LET_IN)


class Passed(msgspec.Struct, frozen=True):
    """A copy of what a client was sent as a whole answer with status 200.

    `report` is what Envoy's module recorded of the target's usage: a JSON object, or empty. `target` is written as
    in the log: percent-encoded, with a suffix such as `#2` for the target's second credential.
    """

    content_type: str
    target: str
    report: bytes
    body: bytes


class ResponseCreated(msgspec.Struct, frozen=True):
    """A response that a request creates: lines of its id, the machine, the cluster, and the log context."""

    text: str


class Copied(msgspec.Struct, frozen=True):
    """The outcome of an answer that was to be copied, identified by the token in `Allowed`.

    `passed` is None if the answer was not a whole answer with status 200 or was too long. `cut` says that the
    client left.
    """

    token: str
    passed: Passed | None
    cut: bool = False


class MachineNotice(msgspec.Struct, frozen=True):
    """A machine was too busy for a request, which goes on waiting for it; or it lets the request in at last."""

    request_id: str
    turned_away: bool


class CommandResult(msgspec.Struct, frozen=True):
    """The result of the command with this token: lines for `translator.running.progress` or `.quotas`."""

    token: str
    lines: bytes


#: Number, kind and content. The content is a check's request, None for a check over the size limit, the id in an
#: end notice, a copy, or a command's result.
Frame = tuple[int, int, Request | str | Copied | ResponseCreated | MachineNotice | CommandResult | None]


class _Long:
    """A check whose body is kept in the pieces in which it arrives. `missing` bytes are still to come."""

    def __init__(self, number: int, kind: int, request: Request, missing: int) -> None:
        self.number = number
        self.kind = kind
        self.missing = missing
        self._request = request
        self._pieces: list[bytes] = []

    def add(self, data: bytes, start: int) -> int:
        """Takes the body's bytes in `data` from `start` on; returns the offset at which they end."""
        end = min(len(data), start + self.missing)
        if end > start:
            self._pieces.append(data[start:end])
            self.missing -= end - start
        return end

    def frame(self) -> Frame:
        self._request.pieces = tuple(self._pieces)
        return self.number, self.kind, self._request


class FrameReader:
    """Splits the bytes it is fed into frames."""

    def __init__(self, max_body: int) -> None:
        self._longest = max_body + _MAX_HEAD
        #: Bytes up to which a frame is taken in one piece; nearly all frames are shorter.
        self._usual = min(_LONG, self._longest)
        self._pieces: list[bytes] = []
        self._missing = 0  # bytes until the next frame is complete, as far as known
        self._skipped = 0  # bytes to come of a frame that is too long
        self._long: _Long | None = None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yields the frames that are complete. A check that is too long is yielded without its content, and gets
        an answer.

        Raises MalformedFrameError; after that the connection must be closed.
        """
        start = self._rest(data) if self._skipped or self._long is not None else 0
        if self._long is not None:
            if self._long.missing:
                return
            yield self._long.frame()
            self._long = None
        elif self._pieces:
            data = self._joined(data)
        end = len(data)
        needed = _FIXED
        while end - start >= _FIXED:
            size, number, kind, head_size = _FRAME.unpack_from(data, start)
            if head_size > size - _COUNTED:
                raise MalformedFrameError("its sizes are impossible")
            needed = _SIZE + size
            head = start + _FIXED
            body = head + head_size
            if size <= self._usual or (size <= self._longest and kind not in _CHECKS):
                if end - start < needed:
                    break
                start += needed
                yield _frame(number, kind, data[head:body], data[body:start])
            elif size > self._longest:
                yield number, kind, None
                self._skipped = needed
                start += self._rest(data[start:])
            else:
                if body > end:
                    needed = body - start
                    break
                request = _request(data[head:body], b"")
                long = _Long(number, kind, request, start + needed - body)
                start = long.add(data, body)
                if long.missing:
                    self._long = long
                    return
                yield long.frame()
            needed = _FIXED
        if start < end:
            self._pieces = [data[start:]]
            self._missing = needed - (end - start)

    def _joined(self, data: bytes) -> bytes:
        """Returns all bytes of the frame that began before, followed by `data`; empty while the frame is
        incomplete.
        """
        self._pieces.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return b""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def _rest(self, data: bytes) -> int:
        """Takes the bytes of a frame that began before `data`; returns the offset at which they end."""
        if self._skipped:
            taken = min(self._skipped, len(data))
            self._skipped -= taken
            return taken
        return self._long.add(data, 0) if self._long is not None else 0


def _frame(number: int, kind: int, head: bytes, body: bytes) -> Frame:
    if kind in _CHECKS:
        return number, kind, _request(head, body)
    if kind == _END:
        return number, kind, head.decode("latin-1")
    if kind == _COPY:
        return number, kind, _copied(head, body)
    if kind == _RESPONSE_CREATED:
        return number, kind, _response_created(head)
    if kind in {_TURNED_AWAY, _LET_IN}:
        return number, kind, MachineNotice(head.decode("latin-1"), kind == _TURNED_AWAY)
    if kind == _COMMAND_RESULT:
        return number, kind, CommandResult(head.decode("latin-1"), body)
    raise MalformedFrameError(f"{kind} is not a kind of frame")


def _request(head: bytes, body: bytes) -> Request:
    lines = head.split(b"\n")
    if len(lines) != 2 + len(ASKED):
        raise MalformedFrameError(f"its head has {len(lines)} lines")
    values = lines[2:]
    # What was not sent is left out; a comprehension takes a third longer for it.
    headers = dict(compress(zip(ASKED, values, strict=True), values))
    return Request(lines[0].decode("latin-1"), lines[1], headers, body)


def _response_created(head: bytes) -> ResponseCreated:
    if head.count(b"\n") < _RESPONSE_CREATED_LINES - 1:
        raise MalformedFrameError("the head of a created response has too few lines")
    return ResponseCreated(head.decode("latin-1"))


def _copied(head: bytes, body: bytes) -> Copied:
    lines = head.split(b"\n", 4)
    if len(lines) != 5:
        raise MalformedFrameError(f"the head of a copy has {len(lines)} lines")
    token, how, content_type, target = (line.decode("latin-1") for line in lines[:4])
    passed = Passed(content_type, target, lines[4], body) if how == "whole" else None
    return Copied(token, passed, how == "cut")
