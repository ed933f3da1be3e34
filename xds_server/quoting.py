"""Quotes other people's text inside a message."""

from __future__ import annotations

import unicodedata


def quoted(text: str) -> str:
    r"""Quotes and shortens `text`, so that no message carries a megabyte of it.

    Invisible and misleading characters are escaped: `\x1b`, `\u202e`. Letters of every script stay as they are.
    """
    shown = text if len(text) <= 80 else text[:80] + "…"
    return '"' + "".join(map(_visible, shown)) + '"'


def _visible(character: str) -> str:
    # Python does not count spaces other than U+0020 as printable.
    seen = character.isprintable() or unicodedata.category(character) == "Zs"
    return character if seen and character != "\\" else character.encode("unicode_escape").decode()
