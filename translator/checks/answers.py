"""Answers to checks, and commands, as bytes for Envoy's module. Little-endian:

    u32 bytes that follow, u64 number, u16 status, u32 bytes of the head, head, body

The head depends on the status: 200 has the lines of `Allowed`, 100 the line of `Admitted`, and 201
the lines of `Answered`. Status 102 (`Queued`) says that the request waits for a place; the final answer follows.
With any other status the client gets the answer, and the head has its headers. An answer with number 0 is a
`Command`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import msgspec

from translator.message import Response

_ANSWER = struct.Struct("<IQHI")
#: Bytes of an answer before its head that its first field counts.
_ANSWER_COUNTED = _ANSWER.size - 4
#: Makes the line of a header from its name and value.
_HEADER: Callable[[tuple[str, str]], str] = "%s: %s".__mod__
_SIZE_OF_BEGINNING = struct.Struct("<I")


@dataclass(slots=True)
class Admitted:
    """The answer to a head check that lets the body be read on this account: `organisation/key`, both ids."""

    account: str

    def encode(self, number: int) -> bytes:
        """Returns the answer to check `number`."""
        return _answer(number, 100, self.account, b"")


@dataclass(slots=True)
class Queued:
    """Says that the request waits for a place, at most `longest` seconds, while its body is held on this account.

    The answer to the whole check follows.
    """

    longest: float
    account: str

    def encode(self, number: int) -> bytes:
        """Returns the frame about check `number`."""
        return _answer(number, 102, f"{round(self.longest * 1000)} {self.account}", b"")


class Allowed(msgspec.Struct):
    """Instructions to Envoy for a request that may pass. No value contains a line feed.

    - `end` is the request's id if an end notice frees something, else empty.
    - `account` is where the body is counted while the request runs: `organisation/key`, both ids; empty if it is
      not counted.
    - `route` is the route's key. If the translator answers the request itself, `key` is the API key's id and the
      other fields are empty.
    - `log_context` is for Envoy's log, `path` is path and query below the API version, and `headers` are for the
      client.
    - `usage`, `<offset>:<length>:<text>`, edits the body to request a stream's usage; `-` if no edit is needed.
    - `affinity` is empty, or a number shared by the requests that belong at one place: `p<number>` chooses the
      machine, `t<number>` chooses target and credential as well.
    - `model`, `<offset>:<length>:<kind>:<bytes>`, is where the model's name stands in the body. Kind j is a JSON
      string with its quotes, f the text of a form's part. The bytes are left out unless they are printable ASCII.
      If the request names no model, kind o is the brace that opens the object and p the form's first boundary.
    - `copy` is a token with which a copy of the answer is sent here; empty if none is wanted.
    - `excluded` are the clusters, without credential and audience, of targets that must not get the request,
      separated by tabs.
    - `replaced` is a number of bytes at the beginning of the body and the bytes that every target gets in their
      place. The offsets of edits refer to the resulting body.

    Not frozen: freezing would cost more than everything else here.
    """

    route: str
    key: str = ""
    log_context: str = ""
    path: str = ""
    usage: str = "-"
    model: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    end: str = ""
    account: str = ""
    copy: str = ""
    affinity: str = ""
    excluded: str = ""
    replaced: tuple[int, bytes] | None = None

    def encode(self, number: int) -> bytes:
        """Returns the answer to check `number`."""
        lines = (
            *(self.end, self.account, self.copy, self.route, self.key, self.log_context, self.path, self.usage),
            *(self.model, self.affinity, self.excluded, _lines(self.headers)),
        )
        if self.replaced is None:
            return _answer(number, 200, "\n".join(lines))
        size, beginning = self.replaced
        return _answer(number, 200, "\n".join(lines), _SIZE_OF_BEGINNING.pack(size) + beginning)


@dataclass(slots=True)
class Answered:
    """The client's answer, with status 200. `log_context` is for Envoy's log."""

    log_context: str
    headers: dict[str, str]
    body: bytes

    def encode(self, number: int) -> bytes:
        """Returns the answer to check `number`."""
        return _answer(number, 201, f"{self.log_context}\n{_lines(self.headers)}", self.body)


def refused(number: int, response: Response) -> bytes:
    """Returns the answer to check `number` that gives the client `response`."""
    return _answer(number, response.status, _lines(response.headers), response.body)


def _lines(headers: Mapping[str, str]) -> str:
    return "\n".join(map(_HEADER, headers.items()))


def _answer(number: int, status: int, head: str, body: bytes = b"") -> bytes:
    encoded = head.encode("latin-1")
    size = len(encoded)
    whole = _ANSWER.pack(_ANSWER_COUNTED + size + len(body), number, status, size) + encoded
    return whole + body if body else whole


class Order(IntEnum):
    """The commands that Envoy's module obeys."""

    REPORT = 1
    CANCEL = 2
    QUOTAS = 3
    SHARE = 4


@dataclass(frozen=True, slots=True)
class Command:
    """Makes the module report running requests or resting targets, end a request, or take the lines in `body`.
    `CommandResult` is its answer.
    """

    order: Order
    token: str
    request_id: str = ""
    body: bytes = b""

    def encode(self) -> bytes:
        """Returns the frame."""
        return _answer(
            0, self.order, f"{self.token} {self.request_id}" if self.request_id else self.token, self.body
        )
