"""Reads files with a bound, because a path may lead anywhere: /dev/zero, a log of gigabytes, an endless pipe."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path, most: int) -> str:
    """Reads UTF-8 text of at most `most` bytes. Raises OSError, UnicodeDecodeError; ValueError for more."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than the {most:,} bytes that are accepted")
    return content.decode()
