"""One line of Envoy's access log, format version 2. It is read leniently, because a lost line is lost money."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
import orjson

from translator import bounds, log_context
from translator.limits import Reservation

FORMAT_VERSION = 2
#: The beginning of every line, which cannot occur within one: its values are not objects, and their quotes are
#: escaped.
_BEGINNING = b'{"'
#: The largest count; it keeps sums within protobuf's 64 bits.
_LARGEST = 1 << 53
#: The word that Envoy's module writes after the failed attempts.
CANCELLED = "cancelled"
#: The character that no text of a record may contain.
_NUL = "\x00"

#: Within these bounds, as every line of a healthy Envoy is, a line goes into a record unchanged.
_Text = Annotated[str, msgspec.Meta(max_length=bounds.TEXT)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=bounds.COUNT)]


class RequestLine(msgspec.Struct, gc=False):
    """A request that ended. `reservation` is None if it was refused. `target` is empty if none was reached. `node`
    includes its owner's prices. `failed` are the attempts before the last one. `usage` is the target's own report
    as text.
    """

    reservation: Reservation | None
    target: str
    node: str
    failed: str
    attempts: int
    status: int
    flags: str
    bytes_in: int
    bytes_out: int
    first_byte_us: int
    duration_ms: int
    usage: str | None
    events: int | None
    #: Bytes of these events; there may have been more events.
    event_bytes: int
    #: The target's id of the request; empty if it does not send one.
    upstream_id: str = ""
    #: The index, from 0, of the provider's credential that was used.
    credential_index: int = 0

    @property
    def cancelled(self) -> bool:
        """True if an operator ended the request, according to the last word of `failed`."""
        return self.failed.endswith(CANCELLED)


class _Usual(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A line of exactly these fields, as Envoy writes them. `_parse_any` reads it with the same result, more
    slowly.
    """

    v: Literal[2]
    note: str | None = None
    target: _Text | None = None
    credential: str | None = None
    node: _Text | None = None
    failed: str | None = None
    upstream_id: _Text | None = None
    attempts: Annotated[int, msgspec.Meta(ge=0, le=bounds.ATTEMPTS)] | None = None
    status: Annotated[int, msgspec.Meta(ge=0, le=bounds.STATUS)] | None = None
    flags: _Text | None = None
    bytes_in: _Count | None = None
    bytes_out: _Count | None = None
    first_byte_us: _Count | None = None
    duration_ms: Annotated[int, msgspec.Meta(ge=0, le=bounds.MILLISECONDS)] | None = None
    usage: str | None = None
    events: str | None = None


_usual = msgspec.json.Decoder(_Usual).decode


def parse(
    line: bytes, reservation_of: Callable[[str], Reservation | None] = log_context.read
) -> RequestLine | None:
    """Parses a line; returns None if it is not of this format. `reservation_of` reads a log context.

    If a line is incomplete because Envoy was killed or the disk was full, the next line follows it without a line
    end, and that one is recovered. Values larger than a record's bounds are reduced to them.
    """
    try:
        found = _usual(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # UnicodeDecodeError: text that is not UTF-8
        return _parse_any(line)
    context, target, node, failed = found.note, found.target, found.node, found.failed
    flags, usage, upstream_id = found.flags, found.usage, found.upstream_id
    if (
        (context and _NUL in context)
        or (target and _NUL in target)
        or (node and _NUL in node)
        or (flags and _NUL in flags)
        or (upstream_id and _NUL in upstream_id)
    ):
        return _parse_any(line)
    events, event_bytes = _events(found.events) if found.events else (None, 0)
    return RequestLine(
        reservation_of(context) if context else None,
        target if target and target != "-" else "",
        node if node and node != "-" else "",
        failed if failed and failed != "-" else "",
        found.attempts or 0,
        found.status or 0,
        flags if flags and flags != "-" else "",
        found.bytes_in or 0,
        found.bytes_out or 0,
        found.first_byte_us or 0,
        found.duration_ms or 0,
        usage if usage != "-" else None,
        events,
        event_bytes,
        upstream_id if upstream_id and upstream_id != "-" else "",
        credential_index(found.credential) if found.credential else 0,
    )


def _parse_any(line: bytes) -> RequestLine | None:
    """Parses any line. A missing or invalid field loses only that field; numbers may be text."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.isascii() and (repaired := line.decode("utf-8", "replace").encode()) != line:
            return parse(repaired)  # a target sent text that is not UTF-8
        glued = line.rfind(_BEGINNING, 1)
        return parse(line[glued:]) if glued > 0 else None
    if type(fields) is not dict or number(fields.get("v")) != FORMAT_VERSION:
        return None
    get = fields.get
    context, usage = get("note"), get("usage")
    events, event_bytes = _events(text(get("events")))
    return RequestLine(
        log_context.read(bounds.text(context, len(context))) if type(context) is str else None,
        bounds.text(text(get("target")), bounds.TEXT),
        bounds.text(text(get("node")), bounds.TEXT),
        text(get("failed")),
        bounds.count(number(get("attempts")) or 0, bounds.ATTEMPTS),
        _status(get("status")),
        bounds.text(text(get("flags")), bounds.TEXT),
        bounds.count(number(get("bytes_in")) or 0),
        bounds.count(number(get("bytes_out")) or 0),
        bounds.count(number(get("first_byte_us")) or 0),
        bounds.count(number(get("duration_ms")) or 0, bounds.MILLISECONDS),
        usage if type(usage) is str and usage != "-" else None,
        events,
        event_bytes,
        bounds.text(text(get("upstream_id")), bounds.TEXT),
        credential_index(text(get("credential"))),
    )


def attempted(place: str) -> tuple[str, int]:
    """Returns the target's id and the credential's index, which Envoy's module writes as `openai/gpt-4.1#2` for
    index 1.

    A `#` in the target's id is percent-encoded.
    """
    target, _, credential = place.partition("#")
    return bounds.text(unquote(target), bounds.TEXT), credential_index(credential)


def credential_index(number_text: str) -> int:
    """Returns the index, from 0, of a credential's number, from 1; 0 without a number."""
    return bounds.count((number(number_text) or 1) - 1, bounds.CREDENTIALS)


def text(value: Any) -> str:
    """Returns the text; empty if it is absent, which Envoy writes as null or `-`."""
    if value is None:
        return ""
    if type(value) is str:
        return "" if value == "-" else value
    return str(value)


def decoded(value: Any) -> str:
    """Returns the `text` of a percent-encoded value."""
    plain = text(value)
    return unquote(plain) if "%" in plain else plain


def number(value: Any) -> int | None:
    """Returns a whole number of at least 0, given as number or text; None for anything else."""
    if type(value) is int:  # nearly always
        return value if 0 <= value < _LARGEST else None
    if type(value) is str:
        try:
            value = int(value)
        except ValueError:
            return None
    elif type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < _LARGEST else None


def _events(counts: str) -> tuple[int | None, int]:
    """Returns the number of events, and their bytes."""
    events, _, event_bytes = counts.partition(":")
    return number(events), number(event_bytes) or 0


def _status(value: Any) -> int:
    """Returns the status; 0 for anything else."""
    status = number(value)
    return status if status is not None and status <= bounds.STATUS else 0
