"""Quotes other people's text inside a message."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Quotes and shortens `text`, so that no message carries a megabyte of it."""
    shown = text if len(text) <= 80 else text[:80] + "…"
    return '"' + shown.encode("unicode_escape").decode() + '"'
