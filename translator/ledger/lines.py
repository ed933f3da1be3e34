"""One line of Envoy's access log, format version 2: read leniently, because a line that is lost is money lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
import orjson

from translator import log_context
from translator.ledger import bounds
from translator.limits import Reservation

FORMAT_VERSION = 2
#: How every line begins, and nothing else in one: its values are no objects, and quotes in them are escaped.
_BEGINNING = b'{"'
#: Above it, a number is no count of anything here; it also keeps sums within what protobuf's 64 bits hold.
_LARGEST = 1 << 53
#: As Envoy's module writes it behind the attempts that failed.
CANCELLED = "cancelled"
#: No text of a record can have one.
_NUL = "\x00"

#: Within these bounds, as every line of a healthy Envoy, one goes into a record as it is.
_Text = Annotated[str, msgspec.Meta(max_length=bounds.TEXT)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=bounds.COUNT)]


class RequestLine(msgspec.Struct, gc=False):
    """A request that ended. `reservation` is what it had reserved, None where it was refused. `target` is empty
    where none was reached; `node` is with its owner's prices; `failed` are the attempts before the last one;
    `usage` is the target's own report as text.
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
    #: Of these events; there may have been more.
    event_bytes: int
    #: What the target calls the request; empty if it does not say.
    upstream_id: str = ""
    #: Which of its provider's credentials the target was asked with, from 0.
    credential_index: int = 0

    @property
    def cancelled(self) -> bool:
        """Whether an operator ended the request: the last word of `failed` says so."""
        return self.failed.endswith(CANCELLED)


class _Usual(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A line of exactly these fields, as Envoy writes them: `_parse_any` reads it in the same way, more slowly."""

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
    """None for a line that is not of this format. `reservation_of` gives the reservation that a log context
    describes.

    A line that was torn (Envoy was killed, the disk was full) has the next one glued to it, which is saved. What
    is larger than a record can have is made to fit.
    """
    try:
        found = _usual(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # the latter for text that is not UTF-8
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
    """What is absent or nonsense in one field costs this field only; numbers may be text."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not line.isascii() and (repaired := line.decode("utf-8", "replace").encode()) != line:
            return parse(repaired)  # a target's text that is not UTF-8
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
    """The target's id and the credential's index, as Envoy's module writes them: `openai/gpt-4.1#2` for index 1.

    A `#` that belongs to the target's id is percent-encoded.
    """
    target, _, credential = place.partition("#")
    return bounds.text(unquote(target), bounds.TEXT), credential_index(credential)


def credential_index(number_text: str) -> int:
    """From 0, of a credential's number, from 1; 0 without one."""
    return bounds.count((number(number_text) or 1) - 1, bounds.CREDENTIALS)


def text(value: Any) -> str:
    """Empty for what is absent, which Envoy writes as null or `-`."""
    if value is None:
        return ""
    if type(value) is str:
        return "" if value == "-" else value
    return str(value)


def decoded(value: Any) -> str:
    """`text` of a percent-encoded value."""
    plain = text(value)
    return unquote(plain) if "%" in plain else plain


def number(value: Any) -> int | None:
    """A whole number from 0 up, as number or text; None for anything else."""
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
    """How many there were, and their bytes."""
    events, _, event_bytes = counts.partition(":")
    return number(events), number(event_bytes) or 0


def _status(value: Any) -> int:
    """0 for what is none."""
    status = number(value)
    return status if status is not None and status <= bounds.STATUS else 0
