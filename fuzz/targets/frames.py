"""Checks from Envoy's module: the same checks are read from pieces of any size."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.targets._pieces import headed, pieces
from translator.checks.frames import Frame, FrameReader
from translator.errors import MalformedFrameError
from translator.message import Request

UNDER_TEST = ("translator.checks.frames",)
MAX_BODY = 256


def check(data: bytes) -> bool:
    """Checks that both ways read the same checks, and end in the same way."""
    seed, text = headed(data)
    whole, broken = _read([text])
    split, also_broken = _read(pieces(seed, text))
    assert broken == also_broken
    assert whole == split
    requests = [content for _, _, content in whole if isinstance(content, Request)]
    assert all(len(request.body) <= len(text) for request in requests)
    return bool(requests)


def _read(parts: Iterable[bytes]) -> tuple[list[Frame], bool]:
    reader, found = FrameReader(MAX_BODY), list[Frame]()
    try:
        for part in parts:
            found.extend(reader.feed(part))
    except MalformedFrameError:
        return found, True
    return found, False
