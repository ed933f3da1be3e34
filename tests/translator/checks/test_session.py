"""The checks of one connection, decided in the order in which they arrive."""

from __future__ import annotations

import asyncio
import struct

import pytest
import structlog
from structlog.testing import capture_logs

from tests.translator.checks.test_frames import check, encoded, notice
from translator.checks.answers import Admitted, Allowed, refused
from translator.checks.frames import ASKED, Copied, FrameKind, MachineNotice
from translator.checks.session import CheckSession, Later
from translator.errors import MalformedFrameError
from translator.message import Request, Response

NO_HEADERS = [b""] * len(ASKED)


class Decider:
    """Allows checks with a body, admits those with a tag, and records everything. A body that begins with `later`
    is allowed when it is released.
    """

    def __init__(self) -> None:
        self.done: list[bytes | str] = []
        self.let_go = asyncio.Event()

    def decide(self, asked: Request) -> Allowed | Response | Later:
        self.done.append(asked.body)
        if asked.body.startswith(b"later"):
            return self._later(asked.body)
        return Allowed(asked.body.decode()) if asked.body else Response(401, body=b"who?")

    def admit(self, head: Request) -> Admitted | Response:
        self.done.append(head.target)
        return Admitted("key-1") if head.headers.get(b"x-trunkline-tag") else Response(401, body=b"who?")

    def end(self, request_id: str) -> None:
        self.done.append(request_id)

    def copied(self, copy: Copied) -> None:
        self.done.append(copy.token)

    def response_created(self, text: str) -> None:
        self.done.append(text)

    def machine_busy(self, notice: MachineNotice) -> None:
        self.done.append(f"{notice.request_id} {notice.turned_away}")

    async def _later(self, body: bytes) -> Allowed:
        await self.let_go.wait()
        self.done.append(b"decided " + body)
        return Allowed(body.decode())


def session_of(decider: Decider) -> CheckSession:
    """Returns a session; what it writes later is recorded as well."""
    log = structlog.get_logger()
    return CheckSession(decider, lambda: decider.done.append(b"flushed"), 1000, log, decider.done.append)


@pytest.fixture
def decider() -> Decider:
    return Decider()


@pytest.fixture
def session(decider: Decider) -> CheckSession:
    return session_of(decider)


def test_what_has_gathered_is_answered_at_once(session: CheckSession) -> None:
    frames = [check(1, NO_HEADERS, b"a")[0], check(2, NO_HEADERS, b"")[0], check(3, NO_HEADERS, b"b")[0]]
    text = b"".join(frames)
    assert session.receive(text[:-1]) == Allowed("a").encode(1) + refused(2, Response(401, body=b"who?"))
    assert session.receive(text[-1:]) == Allowed("b").encode(3)
    assert session.receive(b"") == b""


def test_what_was_decided_is_written_down_once_before_the_answers_leave(
    session: CheckSession, decider: Decider
) -> None:
    session.receive(check(1, NO_HEADERS, b"a")[0] + check(2, NO_HEADERS, b"b")[0])
    assert decider.done == [b"a", b"b", b"flushed"]


def test_each_kind_is_answered_as_it_wants_in_the_order_it_came(session: CheckSession, decider: Decider) -> None:
    tagged = [b"tag" if name == b"x-trunkline-tag" else b"" for name in ASKED]
    text = b"".join(
        (
            check(1, tagged, b"", FrameKind.HEAD)[0],
            notice(9, b"id-9"),
            check(2, NO_HEADERS, b"", FrameKind.HEAD)[0],
            check(1, NO_HEADERS, b"a")[0],
            notice(1, b"id-1"),
        )
    )
    answers = [Admitted("key-1").encode(1), refused(2, Response(401, body=b"who?")), Allowed("a").encode(1)]
    assert session.receive(text) == b"".join(answers)
    assert decider.done == [b"/v1/x?y", "id-9", b"/v1/x?y", b"a", "id-1", b"flushed"]


def test_a_check_that_is_too_long_is_refused_and_the_others_are_not(session: CheckSession) -> None:
    long = check(1, NO_HEADERS, b"x" * 200_000)[0]
    answer = session.receive(long[:1000])
    _, number, status, _ = struct.unpack_from("<IQHI", answer)
    assert (number, status) == (1, 413)
    assert b'"request_too_large"' in answer
    assert session.receive(long[1000:] + check(2, NO_HEADERS, b"b")[0]) == Allowed("b").encode(2)


def test_nonsense_is_logged_without_its_words(session: CheckSession) -> None:
    with capture_logs() as logs, pytest.raises(MalformedFrameError):
        session.receive(struct.pack("<IQBI", 19, 1, FrameKind.WHOLE, 6) + b"secret")
    assert [entry["event"] for entry in logs] == ["check refused"]
    assert "secret" not in str(logs)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_decided_later_holds_up_nobody() -> None:
    decider = Decider()
    session = session_of(decider)
    text = check(1, NO_HEADERS, b"later")[0] + check(2, NO_HEADERS, b"b")[0]
    assert session.receive(text) == Allowed("b").encode(2)
    await settled()
    decider.done.clear()
    decider.let_go.set()
    await settled()
    assert decider.done == [b"decided later", b"flushed", Allowed("later").encode(1)]


async def test_what_nobody_waits_for_any_more_is_not_decided() -> None:
    """The reservation would be useless, and would remain until it expires."""
    decider = Decider()
    session = session_of(decider)
    session.receive(check(1, NO_HEADERS, b"later 1")[0] + check(2, NO_HEADERS, b"later 2")[0])
    await settled()
    session.receive(notice(1, b"id-1"))
    decider.let_go.set()
    await settled()
    assert b"decided later 1" not in decider.done
    assert b"decided later 2" in decider.done


async def test_a_check_whose_client_leaves_at_once_leaves_nothing() -> None:
    decider = Decider()
    session = session_of(decider)
    decider.let_go.set()
    for number in range(1, 100):
        session.receive(check(number, NO_HEADERS, b"later")[0] + notice(number, b"id"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert session._pending == {}
    assert b"decided later" not in decider.done


async def test_a_connection_that_is_gone_takes_its_checks_with_it() -> None:
    decider = Decider()
    session = session_of(decider)
    session.receive(check(1, NO_HEADERS, b"later")[0])
    await settled()
    session.close()
    decider.let_go.set()
    await settled()
    assert b"decided later" not in decider.done


def test_a_response_that_is_made_is_taken_in_and_has_no_answer(session: CheckSession, decider: Decider) -> None:
    lines = "resp_1\n\na/m\nnote"
    assert session.receive(encoded(7, lines.encode(), b"", FrameKind.RESPONSE_CREATED)) == b""
    assert decider.done == [lines, b"flushed"]


def test_notices_of_busy_machines_have_no_answer() -> None:
    decider = Decider()
    session = session_of(decider)
    data = encoded(3, b"id-1", b"", FrameKind.TURNED_AWAY) + encoded(3, b"id-1", b"", FrameKind.LET_IN)
    assert session.receive(data) == b""
    assert decider.done == ["id-1 True", "id-1 False", b"flushed"]
