"""Prints all output of the command. Much of it comes from nodes, providers and clients, and a terminal would obey
it.

Everything that this package prints goes through `say`.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import unicodedata
from typing import Any

import click

#: Invisible although their category is letter or symbol: Hangul's fillers, the blank Braille pattern.
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: The position before a formula, which may follow spaces and quotes, and begins with = + - @ in any width or a
#: minus sign.
_FORMULA = re.compile(
    r"""(?:^|(?<=[;|,]))(?=[\s"'`\xab\xbb\u2018-\u201f]*[=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20])"""
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""Returns `text` with every invisible or misleading character escaped: `\x1b`, `\u202e`.

    Controls (C0, DEL, C1), line and paragraph separators, direction marks, zero-width and unassigned characters
    could command a terminal, forge lines or disguise a name. With `lines`, line feeds are kept: for text whose
    parts were already made visible.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(each, lines=lines) for each in text)


def csv_cell(text: str) -> str:
    """Returns `text` for a cell of a CSV file: visible, and without anything that a spreadsheet would execute.

    Text that begins like a formula gets an apostrophe before it, also after a separator at which some spreadsheets
    split: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return _FORMULA.sub("'", visible(text))


def as_json(value: Any, indent: int | None = 2) -> str:
    """Returns JSON that reads back as `value`, with JSON's own escapes for characters that `visible` escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=not _is_unicode(sys.stdout.encoding))
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if _is_seen(each) or each == "\n" else json.dumps(each)[1:-1] for each in text)


def say(text: str = "", *, lines: bool = False, err: bool = False, nl: bool = True) -> None:
    """Prints `text`, made visible."""
    click.echo(visible(text, lines=lines), err=err, nl=nl)


def prepare_streams() -> None:
    """Makes every text printable in any locale.

    Files and pipes get UTF-8, as `apply` reads it, unless PYTHONIOENCODING is set. A terminal gets escapes for
    characters that its encoding lacks.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper) or _is_unicode(stream.encoding):
            continue
        if stream.isatty() or os.environ.get("PYTHONIOENCODING"):
            stream.reconfigure(errors="backslashreplace")
        else:
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "").startswith("utf")


def _shown(character: str, *, lines: bool) -> str:
    if _is_seen(character) or (lines and character == "\n"):
        return character
    number = ord(character)
    if number <= 0xFF:
        return {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _is_seen(character: str) -> bool:
    # Python does not count spaces other than U+0020 as printable.
    return character not in _UNSEEN and (character.isprintable() or unicodedata.category(character) == "Zs")
