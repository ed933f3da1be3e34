"""Splits a text into pieces, as decided by the input itself."""

from __future__ import annotations

from collections.abc import Iterator


def headed(data: bytes) -> tuple[int, bytes]:
    """Returns the input's first byte, which decides the pieces, and the rest."""
    return (data[0], data[1:]) if data else (0, b"")


def pieces(seed: int, text: bytes) -> Iterator[bytes]:
    """Returns `text` in pieces of one byte for seed 0, else of sizes that follow from the seed."""
    at = 0
    while at < len(text):
        size = 1
        if seed:
            seed = (seed * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
            size = 1 + (seed >> 16) % (1 << (seed >> 28))
        yield text[at : at + size]
        at += size
