"""One line of Envoy's access log, format version 1: read leniently, because a line that is lost is money lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson

FORMAT_VERSION = 1
#: How every line begins, and nothing else in one: its values are no objects, and quotes in them are escaped.
_BEGINNING = b'{"'
#: Above it, a number is no count of anything here; it also keeps sums within what protobuf's 64 bits hold.
_LARGEST = 1 << 53
_HIGHEST_STATUS = 999


@dataclass(slots=True)
class Hold:
    """What the request reserved: all tokens, micro-USD, and how many of the tokens are the prompt's estimate."""

    tokens: int
    cost: int
    prompt: int


@dataclass(slots=True)
class RequestLine:
    """A request that ended. `start_us` is Unix microseconds; `target` is empty where none was reached."""

    id: str
    start_us: int
    organisation: str
    key: str
    route: str
    stream: bool
    target: str
    status: int
    flags: str
    bytes_out: int
    hold: Hold | None
    usage: str | bytes | dict[str, Any] | None
    events: int | None
    #: The line itself, for what only the record needs.
    fields: dict[str, Any]


@dataclass(slots=True)
class AttemptLine:
    """An attempt that failed; written before its request's line."""

    id: str
    target: str
    status: int
    reason: str


def parse(line: bytes) -> RequestLine | AttemptLine | None:
    """None for a line that is not of this format.

    A line that was torn (Envoy was killed, the disk was full) has the next one glued to it, which is saved.
    """
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        glued = line.rfind(_BEGINNING, 1)
        return parse(line[glued:]) if glued > 0 else None
    if type(fields) is not dict:
        return None
    version = fields.get("v")
    if version != FORMAT_VERSION and number(version) != FORMAT_VERSION:
        return None
    kind = fields.get("kind")
    if kind == "request":
        return _request(fields)
    if kind == "attempt":
        return AttemptLine(
            text(fields.get("id")),
            text(fields.get("target")),
            _status(fields.get("status")),
            text(fields.get("flags")),
        )
    return None


def _request(fields: dict[str, Any]) -> RequestLine:
    get = fields.get
    route = text(get("route"))
    plain = route.removesuffix(":stream")
    usage = get("usage")
    return RequestLine(
        text(get("id")),
        _microseconds(get("start")),
        text(get("org")),
        text(get("key")),
        plain.partition("@")[0],
        plain != route,
        text(get("target")),
        _status(get("status")),
        text(get("flags")),
        number(get("bytes_out")) or 0,
        _hold(get("hold")),
        usage if type(usage) in (str, dict) and usage != "-" else None,
        number(get("events")),
        fields,
    )


def text(value: object) -> str:
    """Empty for what is absent, which Envoy writes as null or `-`."""
    if type(value) is str:
        return "" if value == "-" else value
    return "" if value is None else str(value)


def decoded(value: object) -> str:
    """`text` of a percent-encoded value."""
    plain = text(value)
    return unquote(plain) if "%" in plain else plain


def number(value: object) -> int | None:
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


def _status(value: object) -> int:
    """0 for what is none."""
    status = number(value)
    return status if status is not None and status <= _HIGHEST_STATUS else 0


def _microseconds(value: object) -> int:
    """From `<seconds>.<fraction>`; 0 if it is nothing of the kind."""
    seconds, _, fraction = text(value).partition(".")
    return number(seconds + fraction[:6].ljust(6, "0")) or 0


def _hold(value: object) -> Hold | None:
    if type(value) is not str:
        return None
    try:
        tokens, cost, prompt = map(int, value.split(":"))
    except ValueError:
        return None
    return Hold(tokens, cost, prompt) if min(tokens, cost, prompt) >= 0 else None
