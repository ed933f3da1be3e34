"""What the command prints. Much of it others wrote (nodes, providers, clients), and a terminal would obey it.

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

#: Letters and symbols by their category, yet nothing is seen of them: Hangul's fillers, the blank Braille pattern.
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: The place before a formula, which may stand behind spaces and quotes, and begins with = + - @ in any width or a
#: minus sign.
_FORMULA = re.compile(
    r"""(?:^|(?<=[;|,]))(?=[\s"'`\xab\xbb\u2018-\u201f]*[=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20])"""
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""`text` with every character escaped that is not seen as itself: `\x1b`, `\u202e`.

    Controls (C0, DEL, C1), line and paragraph separators, direction marks, zero-width and unassigned characters
    could command a terminal, forge lines or hide what a name is. With `lines`, line feeds stay: for a text whose
    parts were made visible before.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(each, lines=lines) for each in text)


def csv_cell(text: str) -> str:
    """`text` for a cell of a CSV file: visible, and nothing that a spreadsheet would run.

    What begins like a formula gets an apostrophe before it, also behind a separator at which some spreadsheets
    split: https://owasp.org/www-community/attacks/CSV_Injection
    """
    return _FORMULA.sub("'", visible(text))


def as_json(value: Any, indent: int | None = 2) -> str:
    """JSON that reads back as `value`, with what `visible` escapes as JSON's own escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=not _is_unicode(sys.stdout.encoding))
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if _is_seen(each) or each == "\n" else json.dumps(each)[1:-1] for each in text)


def say(text: str = "", *, lines: bool = False, err: bool = False, nl: bool = True) -> None:
    """Prints `text` as `visible` gives it."""
    click.echo(visible(text, lines=lines), err=err, nl=nl)


def prepare_streams() -> None:
    """Lets every text be printed in any locale.

    Files and pipes get UTF-8, as `apply` reads it, unless PYTHONIOENCODING says otherwise. A terminal gets escapes
    for what its encoding does not have.
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
    # A space of any width is no printable character to Python.
    return character not in _UNSEEN and (character.isprintable() or unicodedata.category(character) == "Zs")
