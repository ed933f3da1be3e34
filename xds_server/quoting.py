"""Somebody's text inside a message."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Bounded, so that a message cannot be made of somebody else's megabyte."""
    shown = text if len(text) <= 80 else text[:80] + "…"
    return '"' + shown.encode("unicode_escape").decode() + '"'
