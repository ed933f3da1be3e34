"""Reads a multipart/form-data body (RFC 7578), and finds the field that names the model.

Strict, because a body that two parsers read differently could name one model here and another at the target: what
common clients never send (a preamble, folded or repeated part headers, escaped names, a field twice) is refused.
"""

from __future__ import annotations

import re

from translator.errors import Refusal

_CONTENT_TYPE = re.compile(
    rb"multipart/form-data[ \t]*;[ \t]*boundary="
    rb"(?:\"([0-9A-Za-z'()+_,\-./:=? ]{1,70})\"|([0-9A-Za-z'+_\-.]{1,70}))",
    re.IGNORECASE,
)
_PART_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)")
_DISPOSITION = re.compile(
    rb"form-data[ \t]*;[ \t]*name=(?:\"([^\"\\]*)\"|([!#$%&'*+\-.^_`|~0-9A-Za-z]+))"
    rb"(?P<file>(?:[ \t]*;[ \t]*filename\*?=(?:\"(?:[^\"\\]|\\.)*\"|[^\s;\"]+))*)",
    re.IGNORECASE,
)
_MAX_PART_HEAD = 16_384
_MAX_PARTS = 1_000


class FormBody:
    """A form with exactly one field `model`; anything else raises Refusal (400)."""

    __slots__ = ("_length", "_offset", "model", "streams")

    def __init__(self, body: bytes, content_type: bytes) -> None:
        fields = _fields(body, _boundary(content_type))
        if b"model" not in fields:
            message = "The form must have a field 'model' with the model's name."
            raise Refusal(400, "missing_model", message, param="model")
        start, end = fields[b"model"]
        try:
            self.model = body[start:end].decode()
        except UnicodeDecodeError:
            raise _malformed("the field 'model' is not UTF-8") from None
        if not self.model:
            raise _malformed("the field 'model' is empty")
        self._offset, self._length = start, end - start
        streamed = fields.get(b"stream")
        self.streams = streamed is not None and body[slice(*streamed)].lower() in {b"true", b"1"}

    def model_value(self) -> tuple[int, int]:
        """Offset and length in bytes of the field's text."""
        return self._offset, self._length


def _boundary(content_type: bytes) -> bytes:
    match = _CONTENT_TYPE.fullmatch(content_type.strip())
    if match is None:
        message = "This endpoint takes a form: the content-type must be `multipart/form-data; boundary=…`."
        raise Refusal(400, "invalid_content_type", message)
    return match[1] or match[2]


def _fields(body: bytes, boundary: bytes) -> dict[bytes, tuple[int, int]]:
    """Name → (begin, end) of `model` and `stream`, after a look at every part."""
    fields: dict[bytes, tuple[int, int]] = {}
    delimiter = b"\r\n--" + boundary
    if not body.startswith(delimiter[2:]):
        raise _malformed("it does not begin with the boundary that the content-type states")
    after = len(delimiter) - 2
    for _ in range(_MAX_PARTS):
        if body.startswith(b"--", after):
            return fields
        if not body.startswith(b"\r\n", after):
            raise _malformed(f"a boundary at byte {after} is followed by something else than a line end")
        head_end = body.find(b"\r\n\r\n", after, after + _MAX_PART_HEAD)
        if head_end < 0:
            raise _malformed(f"the headers of the part at byte {after + 2} do not end")
        start = head_end + 4
        # From two bytes earlier: an empty part's delimiter begins with the line end that ends its headers.
        end = body.find(delimiter, start - 2)
        if end < 0:
            raise _malformed("it does not end with the closing boundary")
        name = _name(body[after + 2 : head_end], after + 2)
        if name in {b"model", b"stream"}:
            if name in fields:
                text = name.decode()
                message = f"The form has the field '{text}' more than once."
                raise Refusal(400, "duplicate_parameter", message, param=text)
            fields[name] = (start, max(start, end))
        after = end + len(delimiter)
    raise _malformed(f"it has more than {_MAX_PARTS} parts")


def _name(head: bytes, offset: int) -> bytes:
    """The name of the field whose part headers these are."""
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        match = _PART_HEADER.fullmatch(line)
        if match is None or match[1].lower() in headers:
            raise _malformed(f"the part at byte {offset} has malformed or repeated headers")
        headers[match[1].lower()] = match[2]
    disposition = _DISPOSITION.fullmatch(headers.get(b"content-disposition", b"").rstrip())
    if disposition is None:
        raise _malformed(f'the part at byte {offset} has no plain `content-disposition: form-data; name="…"`')
    name: bytes = disposition[1] if disposition[1] is not None else disposition[2]
    encoded = headers.get(b"content-transfer-encoding", b"binary").lower() not in {b"binary", b"8bit", b"7bit"}
    if name in {b"model", b"stream"} and (disposition["file"] or encoded):
        raise _malformed(f"the field '{name.decode()}' must be plain text, not a file")
    return name


def _malformed(why: str) -> Refusal:
    return Refusal(400, "invalid_form", f"The request body is not an acceptable form: {why}.")
