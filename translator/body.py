"""Reads a JSON request body, and finds the places in it that are rewritten for a target.

orjson is the only judge of the grammar: it validates the body once, and where the place of a key is not obvious it
decides that too, on a copy in which every candidate is replaced by a marker of its own. There is no second parser
that could disagree with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson

from translator.errors import Refusal
from translator.names import FAMILIAR, INTERPRETED, ambiguous, duplicate, taken_for

#: How any escaped letter of the keys begins: they all lie within U+005F to U+007A.
_ESCAPED_LETTER = re.compile(rb"\\u00[567]")
_BACKSLASH = ord("\\")
_ESCAPE = re.compile(rb"\\u")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
#: What follows a key whose value is a string or null. Possessive: megabytes of text leave nothing to try again.
_STRING = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+"|null)')
_NAMES = sorted(INTERPRETED, key=len, reverse=True)


def _spellings(name: str) -> bytes:
    """Returns a pattern for every way to write `name`: its letters have no other escape than `\\uXXXX` (RFC 8259
    section 7).
    """
    return b"".join(b"(?:%c|\\\\u(?i:%04x))" % (ord(letter), ord(letter)) for letter in name)


#: The keys that are interpreted here, in any spelling. In a valid document a match is a whole key, or the end of
#: one in which the first quote is escaped; replacing what is between the quotes keeps the document's structure.
_KEY = re.compile(b'"(?:' + b"|".join(map(_spellings, _NAMES)) + b')"(?=[ \t\r\n]*:)')
_BY_FIRST = {first: list(names) for first, names in groupby(sorted(INTERPRETED), key=lambda name: name[0])}
#: Those without escapes, which are whole keys. The lookahead and the first letters apart are there for speed.
_PLAIN = re.compile(
    '"(?=[{}])({})"[ \t\r\n]*:'.format(
        "".join(_BY_FIRST),
        "|".join(f"{first}(?:{'|'.join(name[1:] for name in names)})" for first, names in _BY_FIRST.items()),
    ).encode()
)
#: The same keys, one by one.
_QUOTED = {name: b'"%b"' % name.encode() for name in INTERPRETED}
#: The model with its value.
_MODEL = re.compile(rb'"model"' + _STRING.pattern)
#: Those of which the place matters.
_PLACES = {
    name: re.compile(rb'"%b"(?=[ \t\r\n]*:)' % name.encode()) for name in ("stream_options", "include_usage")
}
#: More candidates than any real body has; each costs about a microsecond.
_MAX_CANDIDATES = 100_000
#: Values in a body: far more than any real one has. Whoever serves the request parses it as well.
_MAX_VALUES = 1_000_000
#: A string, or what never ends: then there is nothing left to look at twice.
_LITERAL = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
#: More than any real request has in its top level.
_MAX_MEMBERS = 1_000
_NO_OPTIONS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `length` bytes at `offset` by `text`."""

    offset: int
    length: int
    text: str


class JsonBody:
    """A body that is a JSON object with members; anything else raises Refusal (400). `model` is empty where it is
    missing, null or empty. With `escapes`, some character may be written as `\\uXXXX`.
    """

    __slots__ = ("_body", "_keys", "escapes", "model", "streams", "values")

    def __init__(self, body: bytes) -> None:
        if len(body) > _MAX_VALUES:
            _check_values(body)
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            message = f"The request body is not valid JSON: {_place(body, error)}."
            raise Refusal(400, "invalid_json", message) from None  # the error holds the whole body
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
        # Looking for one byte is much cheaper, and most short bodies have no escape at all.
        escape = _ESCAPE.search(body) if _BACKSLASH in body else None
        escaped = escape is not None and _ESCAPED_LETTER.search(body, escape.start()) is not None
        self._keys = _located(body) if escaped or not _is_obvious(body, values, inner) else None
        if not values:
            raise _wrong("model", "missing_model", "a non-empty string")
        model = values.get("model")
        if model is None:
            model = ""
        elif type(model) is not str:
            raise _wrong("model", "invalid_type", "a non-empty string")
        stream = values.get("stream")
        # Servers disagree about what else means true, and a stream is accounted for differently.
        if stream is not None and type(stream) is not bool:
            raise _wrong("stream", "invalid_type", "true or false")
        self._body = body
        self.escapes = escape is not None
        self.values: dict[str, Any] = values
        self.model = model
        self.streams = stream is True

    def model_value(self) -> tuple[int, int]:
        """Offset and length in bytes of the model's JSON string, quotes included, or of the null in its place."""
        keys = self._keys
        value = _MODEL.search(self._body) if keys is None else _STRING.match(self._body, keys["model"])
        assert value is not None  # noqa: S101 - orjson has seen it
        start, end = value.span(1)
        return start, end - start

    def opening(self) -> tuple[int, int]:
        """Offset and length in bytes of the brace that a missing model may follow."""
        return self._body.index(b"{"), 1

    def usage_edit(self) -> Edit | None:
        """What asks for usage at the end of a stream. None where the client asks for it, or has written
        `stream_options` that are for the target to refuse.

        A client that declines usage is asked for as well: what it pays must not depend on its wish.

        Raises:
            Refusal: 400. `include_usage` is neither true nor false: servers disagree about what it means then.
        """
        if "stream_options" not in self.values:
            return Edit(self._body.index(b"{") + 1, 0, '"stream_options":{"include_usage":true},')
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
        """Where an interpreted key that exists ends."""
        if self._keys is not None:
            return self._keys[key]
        found = _PLACES[key].search(self._body)
        assert found is not None  # noqa: S101 - it exists, and there is no other spelling
        return found.end()

    def _value_of(self, key: str) -> int:
        """Where the value of a located key begins."""
        colon = _COLON.match(self._body, self._end_of(key))
        assert colon is not None  # noqa: S101 - orjson has seen it
        return colon.end()


def _check_values(body: bytes) -> None:
    """Raises Refusal (400) if there are too many values. Text that has as many commas is left alone."""
    if _marks(body) > _MAX_VALUES and _marks(_LITERAL.sub(b"", body)) > _MAX_VALUES:
        message = f"The request body has more than {_MAX_VALUES} values."
        raise Refusal(400, "body_too_complex", message)


def _marks(body: bytes) -> int:
    """Marks that values are apart by, or begin with."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _check_names(members: Mapping[str, Any]) -> None:
    """Raises Refusal (400) for a name that another parser reads as an interpreted one."""
    for name in members:
        meant = taken_for(name)
        if meant is not None:
            raise ambiguous(name, meant)


def _is_obvious(body: bytes, values: dict[str, Any], inner: Mapping[str, Any]) -> bool:
    """Whether no interpreted key that exists has a duplicate, and each is found where it first stands. `inner` are
    the members of the stream's options.

    Sound because they are known to exist, and because no letter of `body` is escaped: one that stands in the body
    only once is found there and nowhere else. Keys that are deeper in the document only may stand there more
    often.
    """
    # Counting the few that exist is a tenth of the work of finding all, and enough for most bodies.
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
    """Key → where it ends, for the interpreted keys of the top level and `include_usage` of `stream_options`.

    `body` is a valid JSON object. Raises Refusal (400) where a key occurs twice: parsers disagree about which one
    counts. Also where finding that out would take too long.
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
        """The marked keys of one object, in order: name, where it ends, value."""
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
            continue  # means nothing here
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
    """What is wrong where; orjson does not say where invalid UTF-8 is."""
    try:
        body.decode()
    except UnicodeDecodeError as unicode_error:
        return f"invalid UTF-8 at byte {unicode_error.start}"
    return str(error)


def _absent_from(body: bytes) -> bytes:
    """Letters and digits that occur nowhere in `body`."""
    while (marker := secrets.token_hex(8).encode() + b"x") in body:
        pass
    return marker


def _wrong(param: str, code: str, expected: str) -> Refusal:
    return Refusal(400, code, f"The request body's '{param}' must be {expected}.", param=param)
