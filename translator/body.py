"""Reads a JSON request body, and finds the places in it that are rewritten for a target.

orjson is the only judge of the grammar: it validates the body once, and where the place of a key is not obvious it
decides that too, on a copy in which every candidate is replaced by a marker of its own. There is no second parser
that could disagree with it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

import orjson

from translator.errors import Refusal

#: How any escaped letter of the keys begins: they all lie within U+005F to U+0075.
_ESCAPED_LETTER = re.compile(rb"\\u00[567]")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
#: What follows a key whose value is a string. Possessive: a string of megabytes leaves nothing to come back to.
_STRING = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")')


def _spellings(key: str) -> bytes:
    """A pattern for every way to write `key`: letters have no other escape than `\\uXXXX` (RFC 8259 section 7)."""
    return b"".join(b"(?:%c|\\\\u(?i:%04x))" % (ord(letter), ord(letter)) for letter in key)


#: The keys that are interpreted here, in any spelling. In a valid document a match is a whole string, or the end
#: of one in which the first quote is escaped; replacing what is between the quotes keeps the document's structure.
_KEY = re.compile(
    b'"(?:' + b"|".join(_spellings(key) for key in ("model", "stream", "stream_options", "include_usage")) + b')"'
)
#: Searching for these as patterns is twice as fast as `bytes.find`.
_PLAIN = tuple((key, re.compile(b'"%b"' % key.encode())) for key in ("model", "stream", "stream_options"))
#: More candidates than any real body has; each costs about a microsecond, during which nobody else is served.
_MAX_CANDIDATES = 100_000


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `length` bytes at `offset` by `text`."""

    offset: int
    length: int
    text: str


class JsonBody:
    """A body that is a JSON object with a model; anything else raises Refusal (400)."""

    __slots__ = ("_body", "_keys", "model", "streams", "values")

    def __init__(self, body: bytes) -> None:
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            message = f"The request body is not valid JSON: {_place(body, error)}."
            raise Refusal(400, "invalid_json", message) from None  # the error holds the whole body
        if type(values) is not dict:
            raise Refusal(400, "invalid_json", "The request body must be a JSON object.")
        model = values.get("model")
        if type(model) is not str or not model:
            raise _wrong("model", "invalid_type" if "model" in values else "missing_model", "a non-empty string")
        stream = values.get("stream")
        # Servers disagree about what else means true, and a stream is accounted for differently.
        if stream is not None and type(stream) is not bool:
            raise _wrong("stream", "invalid_type", "true or false")
        self._body = body
        self.values: dict[str, Any] = values
        self._keys = _obvious(body, values) or _located(body)
        self.model = model
        self.streams = stream is True

    def model_value(self) -> tuple[int, int]:
        """Offset and length in bytes of the model's JSON string, quotes included."""
        value = _STRING.match(self._body, self._keys["model"])
        assert value is not None  # noqa: S101 - orjson has seen it
        start, end = value.span(1)
        return start, end - start

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
        self._keys = _located(self._body)
        return Edit(self._value_of("include_usage"), len("null" if declined is None else "false"), "true")

    def _value_of(self, key: str) -> int:
        """Where the value of a located key begins."""
        colon = _COLON.match(self._body, self._keys[key])
        assert colon is not None  # noqa: S101 - orjson has seen it
        return colon.end()


def _obvious(body: bytes, values: dict[str, Any]) -> dict[str, int] | None:
    """Key → where it ends, or None if that takes a closer look.

    Sound because the keys are known to exist: one that cannot be spelt with escapes, and that stands in the body
    only once, is found there and nowhere else, and has no duplicate.
    """
    if _ESCAPED_LETTER.search(body):
        return None
    keys = {}
    for key, plain in _PLAIN:
        if key in values:
            found = plain.search(body)
            assert found is not None  # noqa: S101 - it exists, and there is no other spelling
            keys[key] = found.end()
            if plain.search(body, keys[key]):
                return None
    return keys


def _located(body: bytes) -> dict[str, int]:
    """Key → where it ends, for the interpreted keys of the top level and `include_usage` of `stream_options`.

    `body` is a valid JSON object. Raises Refusal (400) where a key of the top level occurs twice: parsers disagree
    about which one counts. Also where finding that out would take too long.
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
            continue
        if name in keys:
            raise Refusal(
                400, "duplicate_parameter", f"The request body has the member '{name}' more than once.", param=name
            )
        keys[name] = end
        if name == "stream_options":
            # Of duplicates the last one counts, for us as for orjson.
            keys |= {inner: place for inner, place, _ in members(value) if inner == "include_usage"}
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
