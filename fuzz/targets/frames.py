"""What Envoy's module asks: the same questions, whatever pieces they arrive in."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.targets._pieces import headed, pieces
from translator.errors import MalformedFrameError
from translator.http.message import Request
from translator.questions.frames import QuestionReader

UNDER_TEST = ("translator.questions.frames",)
MAX_BODY = 256

Found = list[tuple[int, Request | None]]


def check(data: bytes) -> None:
    """The same questions, and the same end."""
    seed, text = headed(data)
    whole, broken = _read([text])
    split, also_broken = _read(pieces(seed, text))
    assert broken == also_broken
    assert whole == split
    for _, request in whole:
        assert request is None or len(request.body) <= len(text)


def _read(parts: Iterable[bytes]) -> tuple[Found, bool]:
    reader, found = QuestionReader(MAX_BODY), Found()
    try:
        for part in parts:
            found.extend(reader.feed(part))
    except MalformedFrameError:
        return found, True
    return found, False
