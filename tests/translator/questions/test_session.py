"""One connection's questions, decided in the order they come."""

from __future__ import annotations

import struct

import pytest
import structlog
from structlog.testing import capture_logs

from tests.translator.questions.test_frames import notice, question
from translator.errors import MalformedFrameError
from translator.http.message import Request, Response
from translator.questions.frames import ASKED, Admitted, Allowed, Kind, refused
from translator.questions.session import QuestionSession

NO_HEADERS = [b""] * len(ASKED)


class Decider:
    """Allows what has a body, admits what has a tag, and notes everything."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def decide(self, asked: Request) -> Allowed | Response:
        self.done.append(asked.body)
        return Allowed(asked.body.decode()) if asked.body else Response(401, body=b"who?")

    def admit(self, head: Request) -> Admitted | Response:
        self.done.append(head.target)
        return Admitted("key-1") if b"x-trunkline-tag" in head.headers else Response(401, body=b"who?")

    def end(self, request_id: str) -> None:
        self.done.append(request_id)


@pytest.fixture
def decider() -> Decider:
    return Decider()


@pytest.fixture
def session(decider: Decider) -> QuestionSession:
    return QuestionSession(decider, lambda: decider.done.append(b"flushed"), 1000, structlog.get_logger())


def test_what_has_gathered_is_answered_at_once(session: QuestionSession) -> None:
    frames = [question(1, NO_HEADERS, b"a")[0], question(2, NO_HEADERS, b"")[0], question(3, NO_HEADERS, b"b")[0]]
    text = b"".join(frames)
    assert session.receive(text[:-1]) == Allowed("a").encode(1) + refused(2, Response(401, body=b"who?"))
    assert session.receive(text[-1:]) == Allowed("b").encode(3)
    assert session.receive(b"") == b""


def test_what_was_decided_is_written_down_once_before_the_answers_leave(
    session: QuestionSession, decider: Decider
) -> None:
    session.receive(question(1, NO_HEADERS, b"a")[0] + question(2, NO_HEADERS, b"b")[0])
    assert decider.done == [b"a", b"b", b"flushed"]


def test_each_kind_is_answered_as_it_wants_in_the_order_it_came(
    session: QuestionSession, decider: Decider
) -> None:
    tagged = [*NO_HEADERS[:-1], b"tag"]
    text = b"".join(
        (
            question(1, tagged, b"", Kind.HEAD)[0],
            notice(9, b"id-9"),
            question(2, NO_HEADERS, b"", Kind.HEAD)[0],
            question(1, NO_HEADERS, b"a")[0],
            notice(1, b"id-1"),
        )
    )
    answers = [Admitted("key-1").encode(1), refused(2, Response(401, body=b"who?")), Allowed("a").encode(1)]
    assert session.receive(text) == b"".join(answers)
    assert decider.done == [b"/v1/x?y", "id-9", b"/v1/x?y", b"a", "id-1", b"flushed"]


def test_a_question_that_is_too_long_is_refused_and_the_others_are_not(session: QuestionSession) -> None:
    long = question(1, NO_HEADERS, b"x" * 200_000)[0]
    answer = session.receive(long[:1000])
    _, number, status, _ = struct.unpack_from("<IQHI", answer)
    assert (number, status) == (1, 413)
    assert b'"request_too_large"' in answer
    assert session.receive(long[1000:] + question(2, NO_HEADERS, b"b")[0]) == Allowed("b").encode(2)


def test_nonsense_is_logged_without_its_words(session: QuestionSession) -> None:
    with capture_logs() as logs, pytest.raises(MalformedFrameError):
        session.receive(struct.pack("<IQBI", 19, 1, Kind.WHOLE, 6) + b"secret")
    assert [entry["event"] for entry in logs] == ["question refused"]
    assert "secret" not in str(logs)
