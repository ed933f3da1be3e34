"""One connection's questions, decided in the order they come."""

from __future__ import annotations

import struct

import pytest
import structlog
from structlog.testing import capture_logs

from tests.translator.questions.test_frames import question
from translator.errors import MalformedFrameError
from translator.http.message import Request, Response
from translator.questions.frames import ASKED, Allowed, refused
from translator.questions.session import QuestionSession

NO_HEADERS = [b""] * len(ASKED)


def decide(asked: Request) -> Allowed | Response:
    return Allowed(asked.body.decode()) if asked.body else Response(401, body=b"who?")


@pytest.fixture
def session() -> QuestionSession:
    return QuestionSession(decide, lambda: None, 1000, structlog.get_logger())


def test_what_has_gathered_is_answered_at_once(session: QuestionSession) -> None:
    frames = [question(1, NO_HEADERS, b"a")[0], question(2, NO_HEADERS, b"")[0], question(3, NO_HEADERS, b"b")[0]]
    text = b"".join(frames)
    assert session.receive(text[:-1]) == Allowed("a").encode(1) + refused(2, Response(401, body=b"who?"))
    assert session.receive(text[-1:]) == Allowed("b").encode(3)
    assert session.receive(b"") == b""


def test_what_was_decided_is_written_down_once_before_the_answers_leave() -> None:
    done: list[bytes] = []

    def noting(asked: Request) -> Allowed:
        done.append(asked.body)
        return Allowed("a")

    session = QuestionSession(noting, lambda: done.append(b"flushed"), 1000, structlog.get_logger())
    session.receive(question(1, NO_HEADERS, b"a")[0] + question(2, NO_HEADERS, b"b")[0])
    assert done == [b"a", b"b", b"flushed"]


def test_a_question_that_is_too_long_is_refused_and_the_others_are_not(session: QuestionSession) -> None:
    long = question(1, NO_HEADERS, b"x" * 200_000)[0]
    answer = session.receive(long[:1000])
    _, number, status, _ = struct.unpack_from("<IQHI", answer)
    assert (number, status) == (1, 413)
    assert b'"request_too_large"' in answer
    assert session.receive(long[1000:] + question(2, NO_HEADERS, b"b")[0]) == Allowed("b").encode(2)


def test_nonsense_is_logged_without_its_words(session: QuestionSession) -> None:
    with capture_logs() as logs, pytest.raises(MalformedFrameError):
        session.receive(struct.pack("<IQI", 18, 1, 6) + b"secret")
    assert [entry["event"] for entry in logs] == ["question refused"]
    assert "secret" not in str(logs)
