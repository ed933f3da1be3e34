"""Checks whether a JSON text can be written again from its parsed form."""

from __future__ import annotations

import re

#: A string in a valid document.
_LITERAL = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
#: Numbers with more digits than a double distinguishes, or with an exponent.
_ODD_NUMBER = re.compile(rb"[0-9][0-9.]{15}|[0-9][eE]")


def is_faithful(body: bytes, ordered: bytes) -> bool:
    """Returns whether parsing lost nothing: every duplicate member takes a comma with it."""
    odd = _ODD_NUMBER.search(body) is not None
    if not odd and b"\\u" not in body:
        return body.count(b",") == ordered.count(b",")
    bare = _LITERAL.sub(b"", body)
    if odd and _ODD_NUMBER.search(bare) is not None:
        return False
    return bare.count(b",") == _LITERAL.sub(b"", ordered).count(b",")
