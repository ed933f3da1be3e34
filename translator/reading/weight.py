"""Decides which bodies may be read on the event loop: those that never take more than a few milliseconds."""

from __future__ import annotations

from translator.endpoints import BodyKind

#: Python 3.11 takes longer to look up a member of an enum than to decide.
_FORM = BodyKind.FORM
#: Bytes up to which a JSON body is read on the loop without examination. The worst bodies take 150 ns a byte.
_LIGHT_JSON = 24_576
#: Bytes up to which a form is read on the loop. The worst forms, which consist of parts only, take 200 ns a byte.
_LIGHT_FORM = 8_192
#: Bytes up to which a JSON body of few values is read on the loop. Plain text takes 4 ns a byte.
_LONGEST = 262_144
#: Marks of values in such a body, at 300 ns each in the worst case.
_MAX_MARKS = 8_000
#: Escapes (`\u0000`) in such a body, at 250 ns each in the worst case, and as much again if it is written anew.
_MAX_ESCAPES = 16_000


def is_light(kind: BodyKind, body: bytes) -> bool:
    """Returns whether the body is read in less than 5 ms, at the speed of a server's core."""
    size = len(body)
    if kind is _FORM:
        return size <= _LIGHT_FORM
    if size <= _LIGHT_JSON:
        return True
    if size > _LONGEST or body.count(b'"') + body.count(b",") + body.count(b"[") > _MAX_MARKS:
        return False
    # One byte is counted three times as fast as two.
    return body.count(b"\\") <= _MAX_ESCAPES or body.count(b"\\u") <= _MAX_ESCAPES
