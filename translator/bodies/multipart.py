"""The grammar of multipart/form-data (RFC 7578, RFC 2046 section 5.1.1): the parts of a body, and their names.

It is as strict as the strictest reader, because a body that two readers split differently could name one model
here and another at the target. Some readers split at a boundary wherever it stands, some at a `;` within a quoted
filename, and some take the first `name=` of a line. A form that one of them would read differently is refused.
What common clients send is accepted: parameters after the boundary, a preamble, an epilogue, padding after a
boundary, and names with escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from translator.errors import Refusal

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_MEDIA_TYPE = re.compile(rb"multipart/form-data[ \t]*(?=;|$)", re.IGNORECASE)
#: Unquoted values may contain the characters of a boundary: clients do not quote `=` and `:`.
_PARAMETER = re.compile(rb";[ \t]*(?:(" + _TOKEN + rb")=(?:\"([^\"\\]*)\"|([^\s;\",\\]+))[ \t]*)?")
#: RFC 2046: 1 to 70 characters, of which the last is not a space.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PADDING = re.compile(rb"[ \t]*")
_PART_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\r\n\0]*)")
_DISPOSITION = re.compile(rb"form-data[ \t]*(?=;|$)", re.IGNORECASE)
_DISPOSITION_PARAMETER = re.compile(
    rb";[ \t]*(?:(" + _TOKEN + rb")=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"\\]+))[ \t]*)?", re.DOTALL
)
#: Finds any place where a reader might see the parameter `name`: also at the end of `filename`, and within a
#: quoted value.
_NAME_PARAMETER = re.compile(rb"name[ \t]*\*?(?:[0-9]\*?)?[ \t]*=", re.IGNORECASE)
#: Headers of a part that may not be repeated.
_SINGLE = frozenset({b"content-disposition", b"content-type", b"content-transfer-encoding"})
_CHARSET = re.compile(rb"charset[ \t]*=[ \t]*\"?([^\s;\"]*)", re.IGNORECASE)
_UTF8 = frozenset({b"", b"utf-8", b"utf8", b"us-ascii", b"ascii"})
_LONGEST_TYPE = 1_000
_MAX_PART_HEAD = 16_384
_MAX_PARTS = 1_000


@dataclass(frozen=True, slots=True)
class FormPart:
    """A part. `spellings` are all names under which some reader may know it, and `name` is the one used here.

    `start` and `end` are the offsets of its content in the body. `encoded` says that the content must not be read
    as it stands. `charset` is in lower case, and empty for UTF-8.
    """

    name: str
    spellings: frozenset[str]
    start: int
    end: int
    file: bool
    encoded: bool
    charset: str


def boundary(content_type: bytes) -> bytes:
    """Returns the boundary. Raises Refusal (400) for another type, or for parameters that readers understand
    differently.
    """
    text = content_type.strip(b" \t")
    parameters = _parameters(text, _MEDIA_TYPE, _PARAMETER) if len(text) <= _LONGEST_TYPE else None
    value = (parameters or {}).get(b"boundary", b"")
    if parameters is None or not _BOUNDARY.fullmatch(value):
        message = "This endpoint takes a form: the content-type must be `multipart/form-data; boundary=…`."
        raise Refusal(400, "invalid_content_type", message)
    if parameters.get(b"charset", b"").lower() not in _UTF8:
        raise Refusal(400, "invalid_content_type", "The form's charset must be UTF-8.")
    return value


def parts(body: bytes, delimiting: bytes) -> Iterator[FormPart]:
    """Yields every part of the body, in order. Raises Refusal (400)."""
    delimiter = b"--" + delimiting
    at = body.find(delimiter)
    if at > 0 and body[at - 2 : at] != b"\r\n":
        at = -1
    if at < 0:
        raise malformed("it does not begin with the boundary that the content-type states")
    for _ in range(_MAX_PARTS + 1):
        after = at + len(delimiter)
        if body.startswith(b"--", after):
            _end(body, after + 2, delimiter)
            return
        line_end = _padded(body, after)
        if not body.startswith(b"\r\n", line_end):
            raise malformed(f"the boundary at byte {after} is not followed by a line end")
        head_end = body.find(b"\r\n\r\n", line_end, line_end + _MAX_PART_HEAD)
        if head_end < 0:
            raise malformed(f"the headers of the part at byte {line_end + 2} do not end")
        start = head_end + 4
        at = body.find(delimiter, start)
        if at < 0:
            raise malformed("it does not end with the closing boundary")
        # The line end after the headers does not begin a boundary, except for some readers.
        if at < start + 2 or body[at - 2 : at] != b"\r\n":
            raise malformed(f"the boundary at byte {at} does not begin a line")
        if delimiter in body[line_end:start]:
            raise malformed(f"the headers of the part at byte {line_end + 2} contain a boundary")
        yield _part(body[line_end + 2 : head_end], line_end + 2, start, at - 2)
    raise malformed(f"it has more than {_MAX_PARTS} parts")


def malformed(why: str) -> Refusal:
    """Returns a 400."""
    return Refusal(400, "invalid_form", f"The request body is not an acceptable form: {why}.")


def _padded(body: bytes, at: int) -> int:
    """Returns the end of the blanks that begin at `at`."""
    blanks = _PADDING.match(body, at)
    assert blanks is not None  # noqa: S101 - the pattern also matches nothing
    return blanks.end()


def _end(body: bytes, after: int, delimiter: bytes) -> None:
    """Checks what follows the closing boundary: some readers continue after it."""
    end = _padded(body, after)
    if end != len(body) and not body.startswith(b"\r\n", end):
        raise malformed("the closing boundary is not followed by a line end")
    if body.find(delimiter, after) >= 0:
        raise malformed("another boundary follows the closing one")


def _parameters(text: bytes, kind: re.Pattern[bytes], parameter: re.Pattern[bytes]) -> dict[bytes, bytes] | None:
    """Returns the parameters of a header's value that begins with `kind`; None if they are malformed, repeated or
    extended (RFC 2231, except for a filename).
    """
    begin = kind.match(text)
    if begin is None:
        return None
    found: dict[bytes, bytes] = {}
    at = begin.end()
    while at < len(text):
        match = parameter.match(text, at)
        if match is None:
            return None
        at = match.end()
        if match[1] is not None:
            name = match[1].lower()
            if name in found or (b"*" in name and name not in {b"filename*", b"name*"}):
                return None
            found[name] = match[2] if match[2] is not None else match[3]
    return found


def _part(head: bytes, offset: int, start: int, end: int) -> FormPart:
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n"):
        match = _PART_HEADER.fullmatch(line)
        name = match[1].lower() if match is not None else b""
        if match is None or (name in headers and name in _SINGLE):
            raise malformed(f"the part at byte {offset} has malformed or repeated headers")
        headers[name] = match[2].rstrip(b" \t")
    text = headers.get(b"content-disposition", b"")
    parameters = _parameters(text, _DISPOSITION, _DISPOSITION_PARAMETER)
    if parameters is None or (b"name" in parameters) == (b"name*" in parameters):
        raise malformed(f'the part at byte {offset} has no plain `content-disposition: form-data; name="…"`')
    names = [each for each in parameters if each.rstrip(b"*") in {b"name", b"filename"}]
    if len(_NAME_PARAMETER.findall(head)) != len(names):
        raise malformed(f"the part at byte {offset} has a filename or a parameter that looks like a name")
    # A reader that searches for `name=` anywhere finds the first occurrence.
    raws = {
        value.rpartition(b"'")[2] if name.endswith(b"*") else value
        for name, value in parameters.items()
        if name in {b"name", b"name*", names[0]}
    }
    encoding = headers.get(b"content-transfer-encoding", b"binary").lower()
    match = _CHARSET.search(headers.get(b"content-type", b""))
    charset = match[1].lower() if match is not None else b""
    return FormPart(
        parameters.get(b"name", b"").decode("utf-8", "replace"),
        _spellings(raws),
        start,
        end,
        b"filename" in text.lower(),  # also `filenameX`, and within a value: some readers search for it
        encoding not in {b"binary", b"8bit", b"7bit"},
        "" if charset in _UTF8 else charset.decode("latin-1"),
    )


def _spellings(raws: set[bytes]) -> frozenset[str]:
    """Returns what readers may take a name for: as it stands, without its backslashes, percent-decoded, and for
    Java's as an encoded word of RFC 2047.
    """
    found = set()
    for raw in raws:
        for each in (raw, re.sub(rb"\\(.)", rb"\1", raw, flags=re.DOTALL), unquote_to_bytes(raw)):
            found.add(each.decode("utf-8", "replace"))
        if b"=?" in raw:
            found.add(_decoded_words(raw.decode("latin-1")))
    return frozenset(found)


def _decoded_words(text: str) -> str:
    """Raises Refusal (400) for words that cannot be decoded."""
    from email.errors import HeaderParseError  # noqa: PLC0415 - rare, and slow to import
    from email.header import decode_header, make_header  # noqa: PLC0415

    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):
        raise malformed("a field's name is an encoded word that cannot be decoded") from None
