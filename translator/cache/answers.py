"""Which answers may be cached, and how a cached answer is returned. No I/O.

An answer may be cached if it is complete, succeeded, and says that it is finished; in a stream, the last event
says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from translator.cache import chat
from translator.cache.key import Wanted
from translator.checks.frames import Passed
from translator.endpoints import CHAT, RESPONSES

EVENTS = "text/event-stream"
#: Bytes of the longest cached answer: what Envoy's module accepts as one answer, with room for its headers.
LONGEST = 960 * 1024
#: Bytes of the longest answer that is converted to the other form.
_LONGEST_CONVERTED = 256 * 1024
#: Bytes of an answer's objects and table entries.
_OVERHEAD = 1_000
_DONE = b"[DONE]"
_END = b"data: [DONE]\n\n"
#: The byte order mark of UTF-8, which readers of streams ignore.
_MARK = b"\xef\xbb\xbf"
_TEXTS = frozenset({CHAT, "/v1/completions"})


class CachedAnswer(msgspec.Struct, array_like=True, gc=False):
    """A cached answer. `usage` is the event that reports a stream's usage, which `body` does not contain; it may
    be empty. `at` and `until` are Unix seconds, `saved` is nano-USD.
    """

    streams: bool
    content_type: str
    body: bytes
    usage: bytes
    at: float
    until: float
    saved: int

    @property
    def size(self) -> int:
        """Bytes in memory, including those of the key and of table entries."""
        return len(self.body) + len(self.usage) + len(self.content_type) + _OVERHEAD


def cacheable(passed: Passed, wanted: Wanted, path: str) -> CachedAnswer | None:
    """Returns the answer to be cached, without its times; None if it must not be cached."""
    if not passed.body or len(passed.body) > LONGEST:
        return None
    kind = passed.content_type.partition(";")[0].strip().lower()
    if (kind == EVENTS) != wanted.streams:
        return None
    if wanted.streams:
        return _stream(passed, wanted, path)
    if (kind == "application/json" or kind.endswith("+json")) and not _is_finished(passed.body, path):
        return None
    if path in _TEXTS | {RESPONSES} and kind != "application/json":
        return None
    return CachedAnswer(False, passed.content_type, passed.body, b"", 0, 0, 0)


def rendered(cached: CachedAnswer, wanted: Wanted) -> tuple[str, bytes] | None:
    """Returns content-type and body in the wanted form; None if the answer cannot be converted to it."""
    if cached.streams == wanted.streams:
        made = cached.content_type, chat.with_usage(cached.body, cached.usage) if wanted.usage else cached.body
    else:
        if not wanted.convertible or len(cached.body) > _LONGEST_CONVERTED:
            return None
        try:
            converted = _converted(cached, wanted)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return None  # a target may send any shape, and an outside store may contain anything
        if converted is None:
            return None
        made = converted
    return made if len(made[1]) <= LONGEST else None


def _converted(cached: CachedAnswer, wanted: Wanted) -> tuple[str, bytes] | None:
    if wanted.streams:
        body, usage = chat.stream_of(cached.body)
        return EVENTS, chat.with_usage(body, usage) if wanted.usage else body
    plain = chat.plain_of(cached.body, cached.usage)
    return None if plain is None else ("application/json", plain)


def _is_finished(body: bytes, path: str) -> bool:
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    if type(values) is not dict or values.get("error") is not None:
        return False
    if path in _TEXTS:
        choices = values.get("choices")
        return type(choices) is list and bool(choices) and all(map(chat.is_finished, choices))
    return path != RESPONSES or values.get("status") == "completed"


def events(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields each complete event: its bytes with the empty line, and its data."""
    start = 0
    while start < len(stream):
        ends = [(at, len(mark)) for mark in (b"\n\n", b"\r\n\r\n") if (at := stream.find(mark, start)) >= 0]
        if not ends:
            event, end = stream[start:], len(stream)
        else:
            at, size = min(ends)
            end = at + size
            event = stream[start:end]
        lines = event.replace(b"\r\n", b"\n").split(b"\n")
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        yield event, data
        start = end


def _stream(passed: Passed, wanted: Wanted, path: str) -> CachedAnswer | None:
    cached: list[bytes] = []
    usage, finished, first = b"", False, None
    choices = chat.Choices()
    for event, data in events(passed.body.removeprefix(_MARK)):
        if not data:
            continue  # a comment that keeps the connection open
        if cached and cached[-1] == _END:
            return None  # clients stop reading at the end
        if data.strip() == _DONE:
            finished = finished or path != RESPONSES
            cached.append(_END)
            continue
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        if type(values) is not dict or _is_error(event, values):
            return None
        first = values if first is None else first
        if path == CHAT and chat.is_usage(values):
            usage = chat.usage_event(values, values["usage"])
            continue
        if path in _TEXTS and not choices.add(values):
            return None
        kind = str(values.get("type", ""))
        if path == RESPONSES:  # its tools have events that end like this one
            finished = kind == "response.completed"
        elif kind.endswith(".completed"):
            finished = True
        cached.append(event)
    if not finished or (path in _TEXTS and not choices.finished):
        return None
    if path == CHAT and not usage:
        usage = chat.usage_event(first or {}, _report(passed.report))
    return CachedAnswer(True, EVENTS, b"".join(cached), usage, 0, 0, 0)


def _is_error(event: bytes, values: dict[str, Any]) -> bool:
    if values.get("error") is not None or values.get("type") == "error":
        return True
    named = (line[6:].strip() for line in event.splitlines() if line.startswith(b"event:"))
    return any(name == b"error" for name in named)


def _report(report: bytes) -> Any:
    """Returns the target's report of usage; None if there is none."""
    try:
        facts = orjson.loads(report)
    except orjson.JSONDecodeError:
        return None
    return facts.get("usage") if type(facts) is dict else None
