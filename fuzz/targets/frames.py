"""What Envoy's module asks: the same questions, whatever pieces they arrive in."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.targets._pieces import headed, pieces
from translator.errors import MalformedFrameError
from translator.http.message import Request
from translator.questions.frames import Question, QuestionReader

UNDER_TEST = ("translator.questions.frames",)
MAX_BODY = 256


def check(data: bytes) -> bool:
    """The same questions, and the same end."""
    seed, text = headed(data)
    whole, broken = _read([text])
    split, also_broken = _read(pieces(seed, text))
    assert broken == also_broken
    assert whole == split
    requests = [content for _, _, content in whole if isinstance(content, Request)]
    assert all(len(request.body) <= len(text) for request in requests)
    return bool(requests)


def _read(parts: Iterable[bytes]) -> tuple[list[Question], bool]:
    reader, found = QuestionReader(MAX_BODY), list[Question]()
    try:
        for part in parts:
            found.extend(reader.feed(part))
    except MalformedFrameError:
        return found, True
    return found, False
