"""What the command prints. Much of it others wrote (nodes, providers, clients), and a terminal would obey it.

Everything that this package prints goes through `say`.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import click

#: Letters and symbols by their category, yet nothing is seen of them: Hangul's fillers, the blank Braille pattern.
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def visible(text: str, *, lines: bool = False) -> str:
    r"""`text` with every character escaped that is not seen as itself: `\x1b`, `\u202e`.

    Controls (C0, DEL, C1), line and paragraph separators, direction marks, zero-width and unassigned characters
    could command a terminal, forge lines or hide what a name is. With `lines`, line feeds stay: for a text whose
    parts were made visible before.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(each, lines=lines) for each in text)


def as_json(value: Any) -> str:
    """Indented JSON that reads back as `value`, with what `visible` escapes as JSON's own escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(each if _is_seen(each) or each == "\n" else json.dumps(each)[1:-1] for each in text)


def say(text: str = "", *, lines: bool = False, err: bool = False, nl: bool = True) -> None:
    """Prints `text` as `visible` gives it."""
    click.echo(visible(text, lines=lines), err=err, nl=nl)


def _shown(character: str, *, lines: bool) -> str:
    if _is_seen(character) or (lines and character == "\n"):
        return character
    number = ord(character)
    if number <= 0xFF:
        return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _is_seen(character: str) -> bool:
    # A space of any width is no printable character to Python.
    return character not in _UNSEEN and (character.isprintable() or unicodedata.category(character) == "Zs")
