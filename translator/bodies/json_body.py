"""Reads a JSON request body and finds the offsets of what is rewritten for a target.

orjson alone decides about the grammar. It validates the body once. If the offset of a key is not obvious, orjson
decides that too, on a copy in which every candidate is replaced by a unique marker. So there is no second parser
that could disagree with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import msgspec
import orjson

from translator.bodies.names import FAMILIAR, INTERPRETED, ambiguous, duplicate, taken_for
from translator.errors import Refusal

#: The beginning of an escaped letter of the keys: they all lie within U+005F to U+007A.
_ESCAPED_LETTER = re.compile(rb"\\u00[567]")
_BACKSLASH = ord("\\")
_ESCAPE = re.compile(rb"\\u")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
#: Matches after a key whose value is a string or null. Possessive, so that megabytes of text cause no
#: backtracking.
_STRING = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+"|null)')
_NAMES = sorted(INTERPRETED, key=len, reverse=True)


def _spellings(name: str) -> bytes:
    """Returns a pattern for every spelling of `name`: the only escape of its letters is `\\uXXXX` (RFC 8259
    section 7).
    """
    return b"".join(b"(?:%c|\\\\u(?i:%04x))" % (ord(letter), ord(letter)) for letter in name)


#: The interpreted keys in any spelling. In a valid document a match is a whole key, or the end of a key whose
#: first quote is escaped. Replacing what is between the quotes keeps the document's structure.
_KEY = re.compile(b'"(?:' + b"|".join(map(_spellings, _NAMES)) + b')"(?=[ \t\r\n]*:)')
_BY_FIRST = {first: list(names) for first, names in groupby(sorted(INTERPRETED), key=lambda name: name[0])}
#: The interpreted keys without escapes, which are whole keys. The lookahead and the alternatives by first letter
#: make the search fast.
_PLAIN = re.compile(
    '"(?=[{}])({})"[ \t\r\n]*:'.format(
        "".join(_BY_FIRST),
        "|".join(f"{first}(?:{'|'.join(name[1:] for name in names)})" for first, names in _BY_FIRST.items()),
    ).encode()
)
#: The same keys, one by one.
_QUOTED = {name: b'"%b"' % name.encode() for name in INTERPRETED}
#: The model's key with its value.
_MODEL = re.compile(rb'"model"' + _STRING.pattern)
#: The keys whose offset matters.
_PLACES = {
    name: re.compile(rb'"%b"(?=[ \t\r\n]*:)' % name.encode()) for name in ("stream_options", "include_usage")
}
#: More candidates than any real body has; each costs about a microsecond to check.
_MAX_CANDIDATES = 100_000
#: Most values in a body, far more than any real one has. The server of the request parses them as well.
_MAX_VALUES = 1_000_000
#: A string, or an unterminated one, which is never scanned twice.
_LITERAL = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
#: More members than any real request has at its top level.
_MAX_MEMBERS = 1_000
_NO_OPTIONS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces `length` bytes at `offset` by `text`."""

    offset: int
    length: int
    text: str


class JsonBody(msgspec.Struct, gc=False):
    """A body that is a JSON object with members, as `parse` returns it. `keys` are the ends of interpreted keys
    that are not obvious.

    `model` is empty if it is missing, null or empty. `escapes` says that some characters may be written as
    `\\uXXXX`.
    """

    body: bytes
    keys: Mapping[str, int] | None
    values: dict[str, Any]
    model: str
    streams: bool
    escapes: bool

    def __repr__(self) -> str:
        """Leaves out all content: no log may show a prompt."""
        return "JsonBody()"

    def model_value(self) -> tuple[int, int]:
        """Returns offset and length in bytes of the model's JSON string, including its quotes, or of the null in
        its place.
        """
        keys = self.keys
        value = _MODEL.search(self.body) if keys is None else _STRING.match(self.body, keys["model"])
        assert value is not None  # noqa: S101 - orjson has validated it
        start, end = value.span(1)
        return start, end - start

    def opening(self) -> tuple[int, int]:
        """Returns offset and length in bytes of the opening brace, after which a missing model can be inserted."""
        return self.body.index(b"{"), 1

    def usage_edit(self) -> Edit | None:
        """Returns the edit that requests usage at the end of a stream. None if the client requests it, or sent
        `stream_options` that the target should refuse.

        Usage is requested even if the client declines it: what the client pays must not depend on that.

        Raises:
            Refusal: 400 if `include_usage` is neither true nor false: servers disagree about what it means then.
        """
        if "stream_options" not in self.values:
            return Edit(self.body.index(b"{") + 1, 0, '"stream_options":{"include_usage":true},')
        options = self.values["stream_options"]
        start = self._value_of("stream_options")
        if options is None:
            return Edit(start, len("null"), '{"include_usage":true}')
        if type(options) is not dict:
            return None
        if "include_usage" not in options:
            return Edit(start + 1, 0, '"include_usage":true,' if options else '"include_usage":true')
        declined = options["include_usage"]
        if declined is True:
            return None
        if declined is not None and declined is not False:
            raise _wrong("stream_options.include_usage", "invalid_type", "true or false")
        return Edit(self._value_of("include_usage"), len("null" if declined is None else "false"), "true")

    def _end_of(self, key: str) -> int:
        """Returns the end offset of an interpreted key that exists."""
        if self.keys is not None:
            return self.keys[key]
        found = _PLACES[key].search(self.body)
        assert found is not None  # noqa: S101 - the key exists and has no other spelling
        return found.end()

    def _value_of(self, key: str) -> int:
        """Returns the offset of a located key's value."""
        colon = _COLON.match(self.body, self._end_of(key))
        assert colon is not None  # noqa: S101 - orjson has validated it
        return colon.end()


def parse(body: bytes) -> JsonBody:
    """Parses a body. Raises Refusal (400) for anything but a JSON object with members."""
    if len(body) > _MAX_VALUES:
        _check_values(body)
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"The request body is not valid JSON: {_place(body, error)}."
        raise Refusal(400, "invalid_json", message) from None  # the error contains the whole body
    if type(values) is not dict:
        raise Refusal(400, "invalid_json", "The request body must be a JSON object.")
    if len(values) > _MAX_MEMBERS:
        message = f"The request body has more than {_MAX_MEMBERS} members."
        raise Refusal(400, "body_too_complex", message)
    if not values.keys() <= FAMILIAR:
        _check_names(values)
    options = values.get("stream_options")
    inner = options if options and type(options) is dict else _NO_OPTIONS
    if inner:
        _check_names(inner)
    # Searching for one byte is much cheaper, and most short bodies have no escapes at all.
    escape = _ESCAPE.search(body) if _BACKSLASH in body else None
    escaped = escape is not None and _ESCAPED_LETTER.search(body, escape.start()) is not None
    keys = _located(body) if escaped or not _is_obvious(body, values, inner) else None
    if not values:
        raise _wrong("model", "missing_model", "a non-empty string")
    model = values.get("model")
    if model is None:
        model = ""
    elif type(model) is not str:
        raise _wrong("model", "invalid_type", "a non-empty string")
    stream = values.get("stream")
    # Servers disagree about what else means true, and streams are billed differently.
    if stream is not None and type(stream) is not bool:
        raise _wrong("stream", "invalid_type", "true or false")
    return JsonBody(body, keys, values, model, stream is True, escape is not None)


def _check_values(body: bytes) -> None:
    """Raises Refusal (400) if there are too many values. Commas in text do not count."""
    if _marks(body) > _MAX_VALUES and _marks(_LITERAL.sub(b"", body)) > _MAX_VALUES:
        message = f"The request body has more than {_MAX_VALUES} values."
        raise Refusal(400, "body_too_complex", message)


def _marks(body: bytes) -> int:
    """Returns the number of characters that separate or begin values."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _check_names(members: Mapping[str, Any]) -> None:
    """Raises Refusal (400) for a name that another parser could read as an interpreted one."""
    for name in members:
        meant = taken_for(name)
        if meant is not None:
            raise ambiguous(name, meant)


def _is_obvious(body: bytes, values: dict[str, Any], inner: Mapping[str, Any]) -> bool:
    """Returns whether every interpreted key that exists is unique and found at its first occurrence. `inner` are
    the members of the stream's options.

    This is sound because the keys are known to exist and no letter of `body` is escaped: a key that occurs once in
    the text is found there and nowhere else. Only keys deeper in the document may occur more often.
    """
    # Counting the few existing keys is a tenth of the work of finding all of them, and suffices for most bodies.
    for quoted in map(_QUOTED.get, (*values, *inner) if inner else values):
        if quoted is not None and body.count(quoted) > 1:
            break
    else:
        return True
    found = _PLAIN.findall(body)
    if len(set(found)) != len(found):
        for each in set(found):
            name = each.decode()
            if (name in values or name in inner) and found.count(each) > 1:
                return False
    return True


def _located(body: bytes) -> dict[str, int]:
    """Returns the end offset of each interpreted key at the top level, and of `include_usage` in `stream_options`.

    `body` is a valid JSON object. Raises Refusal (400) if a key occurs twice, because parsers disagree about which
    one counts, or if finding that out would take too long.
    """
    marker = _absent_from(body)
    spans: list[tuple[int, int]] = []
    pieces: list[bytes] = []
    copied = 0
    for match in _KEY.finditer(body):
        if len(spans) == _MAX_CANDIDATES:
            message = f"The request body has the interpreted names in more than {_MAX_CANDIDATES} places."
            raise Refusal(400, "body_too_complex", message)
        start, end = match.span()
        pieces += (body[copied:start], b'"%b%d"' % (marker, len(spans)))
        spans.append((start, end))
        copied = end
    marked = orjson.loads(b"".join((*pieces, body[copied:])))
    prefix = marker.decode()

    def members(document: object) -> list[tuple[str, int, object]]:
        """Returns the marked keys of one object in order: name, end offset and value."""
        found = []
        if isinstance(document, dict):
            for key, value in document.items():
                if key.startswith(prefix):
                    start, end = spans[int(key[len(prefix) :])]
                    found.append((orjson.loads(body[start:end]), end, value))
        return found

    keys: dict[str, int] = {}
    for name, end, value in members(marked):
        if name == "include_usage":
            continue  # not interpreted at this level
        if name in keys:
            raise duplicate("The request body has the member", name)
        keys[name] = end
        if name == "stream_options":
            places = [place for inner, place, _ in members(value) if inner == "include_usage"]
            if len(places) > 1:
                raise duplicate("The request body's 'stream_options' have the member", "include_usage")
            if places:
                keys["include_usage"] = places[0]
    return keys


def _place(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Returns what is wrong and where; orjson does not give the offset of invalid UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError as unicode_error:
        return f"invalid UTF-8 at byte {unicode_error.start}"
    return str(error)


def _absent_from(body: bytes) -> bytes:
    """Returns letters and digits that occur nowhere in `body`."""
    while (marker := secrets.token_hex(8).encode() + b"x") in body:
        pass
    return marker


def _wrong(param: str, code: str, expected: str) -> Refusal:
    return Refusal(400, code, f"The request body's '{param}' must be {expected}.", param=param)
