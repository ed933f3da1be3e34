"""What `envoy/module/answers.c` shall do, plainly: on whole texts, with regular expressions."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST_USAGE = 4096
LONGEST_EVENT = 1 << 20

_KEY = re.compile(rb'"usage"')
_OBJECT = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(?=\{)")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[{}]', re.DOTALL)
_NO_CHOICES = re.compile(rb'"choices"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*\]')
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


class Usage(NamedTuple):
    """The last whole object, and whether one has begun."""

    reported: bytes
    begun: bool


def usage(text: bytes) -> Usage:
    reported, begun, position = b"", False, 0
    while key := _KEY.search(text, position):
        position = key.end()
        place = _OBJECT.match(text, position)
        if place is None:
            continue
        begun = True
        found = _whole_object(text[place.end() : place.end() + LONGEST_USAGE])
        reported = found if b'_tokens"' in found else reported
        position = place.end() + (len(found) or LONGEST_USAGE)
    return Usage(reported, begun)


def _whole_object(text: bytes) -> bytes:
    """The object that `text` begins with; nothing if it does not end there."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += (token[0] == b"{") - (token[0] == b"}")
        if depth == 0:
            return text[: token.end()]
    return b""


class Stream(NamedTuple):
    """What an access log is told of a stream, and what its client gets."""

    events: int
    event_bytes: int
    reported: bytes
    client: bytes


def stream(text: bytes, *, asked: bool, ends: bool) -> Stream:
    """`asked`: the gateway asked for usage, its client did not. `ends`: it is all there is."""
    count, reported, client, events = 0, b"", b"", _events(text)
    for event, whole in events:
        found = usage(event)
        reported = found.reported or reported
        done = event.startswith(b"data: [DONE]")
        report = found.begun and not done and len(event) <= LONGEST_EVENT and _NO_CHOICES.search(event) is not None
        if not asked or ((whole or ends or done or len(event) > LONGEST_EVENT) and not report):
            client += event
        count += whole and any(line.strip(b"\r\n") and line[:1] != b":" for line in _LINE.findall(event))
    unfinished = b"".join(event for event, whole in events if not whole)
    if asked and unfinished.startswith(b"data: [DONE]"):
        unfinished = b""
    return Stream(count, len(text) - len(unfinished), reported, client)


def _events(text: bytes) -> list[tuple[bytes, bool]]:
    """Up to and with each empty line, and whether that is there."""
    events, event = [], b""
    for line in _LINE.findall(text):
        event += line
        if line in {b"\n", b"\r\n"}:
            events.append((event, True))
            event = b""
    return [*events, (event, False)] if event else events
