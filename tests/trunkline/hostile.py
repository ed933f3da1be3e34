"""Text that a terminal would obey, and a check that it was neutralised."""

from __future__ import annotations

import unicodedata
from typing import Any

#: A title, colours by C0 and C1, a reversed direction, a forged line, separators, and invisible characters.
HOSTILE = "\x1b]0;owned\x07\x1b[31mb\x9b2Jc\u202ed\r\n+ forged\u2028\x85\u200be\x7f\x00\u2066\ufefff\u3164"

_NEVER = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def assert_harmless(text: str) -> None:
    """Asserts that `text` commands no terminal and hides nothing; it may have several lines."""
    found = {each for each in text if unicodedata.category(each) in _NEVER and each != "\n"}
    assert not found, sorted(map(ascii, found))


def filled(kind: type, depth: int = 6) -> Any:
    """Returns a message with every field of its descriptor set; every text is the field's name with HOSTILE."""
    made = kind()
    _fill(made, depth)
    return made


def _fill(message: Any, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if (oneof is not None and oneof.fields[0] is not field) or not depth:
            continue
        if field.type == field.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
            continue
        place = getattr(message, field.name)
        if field.type == field.TYPE_MESSAGE:
            # Empty messages are set, too.
            inner = place.add() if field.is_repeated else place
            inner.SetInParent()
            _fill(inner, depth - 1)
        elif field.is_repeated:
            place.append(_value(field))
        else:
            setattr(message, field.name, _value(field))


def _value(field: Any) -> Any:
    if field.type == field.TYPE_STRING:
        return field.name + HOSTILE
    if field.type == field.TYPE_BYTES:
        return b"bytes"
    return field.enum_type.values[-1].number if field.type == field.TYPE_ENUM else 1
