"""`envoy/module/link.c`: its thread and a real socket, with a translator at the other end that misbehaves."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE, SWITCHING, Connection, Peer, allowed, denied, queued, serving
from translator.checks.frames import ASKED, Kind

HEAD = "\n/v1/chat/completions" + "\n" * len(ASKED)
LONG = 32 << 20
TIMEOUT_MS = 60_000

pytestmark = pytest.mark.parametrize("sanitizer", ["address", "thread"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def peer(path: Path) -> Iterator[Peer]:
    with closing(Peer(path)) as listening:
        yield listening


@pytest.fixture
def link(path: Path, sanitizer: Literal["address", "thread"]) -> Iterator[Link]:
    with Driver("link", sanitizer) as driver:
        yield Link(driver, path)


class Link:
    """The driver's one, and its checks, which are known by numbers of the test's own."""

    def __init__(self, driver: Driver, path: Path) -> None:
        self.driver = driver
        self._path = path

    def open(self, timeout_ms: int = TIMEOUT_MS, number: int = 0, lane: int = 0) -> bool:
        return self.driver.ask("open", number, self._path, timeout_ms, lane) == [b"1"]

    def close(self, number: int = 0) -> None:
        self.driver.ask("close", number)

    def ask(self, *checks: int, body: int = 0) -> None:
        """Their methods tell which they are."""
        for check in checks:
            self.driver.ask("ask", check, 0, f"Q{check}{HEAD}", body)

    def answer(self, check: int) -> tuple[int, bytes, bytes]:
        status, head, body = self.driver.ask("await", check)
        return int(status), head, body

    def queued(self, check: int) -> bytes:
        """Waits until it is told to wait; on whose account."""
        woken, key = self.driver.ask("queued", check)
        assert woken == b"1"
        return key

    def drop(self, *checks: int) -> list[bool]:
        """Of each, whether the peer may have read it."""
        read = []
        for check in checks:
            woken, asked = self.driver.ask("drop", check)
            assert woken == b"0", "an answer was announced more than once"
            read.append(asked == b"1")
        return read

    def logged(self, words: str) -> int:
        """Waits for a line with these words; how many such lines there are."""
        deadline = time.monotonic() + PATIENCE
        lines: list[str] = []
        while not any(words in line for line in lines):
            assert time.monotonic() < deadline, lines
            lines += [line.decode() for line in self.driver.ask("logged")]
        return sum(words in line for line in lines)

    def end(self, number: int, request_id: str) -> None:
        self.driver.ask("end", 0, number, request_id)

    def expect(self, *checks: int) -> None:
        """Each was allowed, and then is dropped."""
        for check in checks:
            status, head, body = self.answer(check)
            assert (status, body) == (200, b"")
            assert head.startswith(b"\n\n\nroute-")
        self.drop(*checks)


def test_an_answer_comes_to_who_asked(link: Link, peer: Peer) -> None:
    link.open()
    link.ask(1, 2, 3)
    connection = peer.connected()
    numbers = connection.checks(3)
    for check in (3, 1, 2):
        connection.sock.sendall(denied(numbers[f"Q{check}"], b"%d" % check))
    for check in (1, 2, 3):
        assert link.answer(check) == (429, b"retry-after: 1", b"%d" % check)
    link.drop(1, 2, 3)
    link.close()


@pytest.mark.parametrize("piece", [1, 7, 1_000_000])
def test_answers_come_in_any_pieces(link: Link, peer: Peer, piece: int) -> None:
    link.open()
    link.ask(*range(20))
    connection = peer.accept()
    connection.upgrade(b"")
    numbers = list(connection.checks(20).values())
    random.Random(piece).shuffle(numbers)
    text = SWITCHING + b"".join(map(allowed, numbers))
    for at in range(0, len(text), piece):
        connection.sock.sendall(text[at : at + piece])
    link.expect(*range(20))
    link.close()


def test_thousands_wait_and_each_gets_its_own(link: Link, peer: Peer) -> None:
    link.open()
    link.ask(*range(2000))
    connection = peer.connected()
    numbers = connection.checks(2000)
    order = list(numbers.items())
    random.Random(0).shuffle(order)
    connection.sock.sendall(b"".join(denied(number, name.encode()) for name, number in order))
    for check in range(2000):
        assert link.answer(check)[2] == b"Q%d" % check
    link.drop(*range(2000))
    link.close()


def test_checks_without_an_answer_are_asked_again(link: Link, peer: Peer) -> None:
    link.open()
    link.ask(1, 2, 3)
    first = peer.connected()
    numbers = first.checks(3)
    first.sock.sendall(allowed(numbers["Q2"]) + allowed(numbers["Q3"])[:20])
    link.expect(2)
    first.sock.close()
    link.ask(4)
    second = peer.connected()
    again = second.checks(3)
    assert set(again) == {"Q1", "Q3", "Q4"}
    second.sock.sendall(b"".join(map(allowed, again.values())))
    link.expect(1, 3, 4)
    link.close()


def test_a_peer_that_comes_late_is_found(link: Link, path: Path) -> None:
    link.open()
    link.ask(1, 2)
    with closing(Peer(path)) as peer, serving(peer):
        link.expect(1, 2)
        link.close()


@pytest.mark.parametrize("timeout_ms", [50, 1200])
def test_a_silent_peer_is_waited_for_no_longer_than_the_time_limit(
    link: Link, peer: Peer, timeout_ms: int
) -> None:
    link.open(timeout_ms)
    connection = peer.connected()
    link.ask(1)
    connection.check()
    start = time.monotonic()
    assert link.answer(1) == (0, b"", b"")
    assert time.monotonic() - start < timeout_ms / 1000 + 0.7
    link.drop(1)
    link.close()


def test_an_answer_that_comes_too_late_is_none(link: Link, peer: Peer) -> None:
    link.open(200)
    connection = peer.connected()
    link.ask(1)
    late, _ = connection.check()
    assert link.answer(1)[0] == 0
    link.ask(2)
    number, _ = connection.check()
    connection.sock.sendall(allowed(late) + denied(number, b"in time"))
    assert link.answer(2)[2] == b"in time"
    link.drop(1, 2)
    link.close()


def test_a_dropped_check_is_not_asked(link: Link, path: Path) -> None:
    link.open()
    link.ask(1, 2, 3)
    link.drop(1, 3)
    with closing(Peer(path)) as peer:
        connection = peer.connected()
        number, check = connection.check()
        assert check.method == "Q2"
        connection.sock.sendall(allowed(number))
        link.expect(2)
        link.close()


def test_an_answer_to_a_dropped_check_is_passed_over(link: Link, peer: Peer) -> None:
    link.open()
    connection = peer.connected()
    link.ask(1, 2)
    numbers = connection.checks(2)
    link.drop(1)
    connection.sock.sendall(allowed(numbers["Q1"]) * 2 + allowed(numbers["Q2"]) * 2)
    link.expect(2)
    link.close()


def half_written(link: Link, peer: Peer) -> Connection:
    """Check 1 is, for nobody reads; 2 waits behind it."""
    link.open()
    connection = peer.connected()
    link.ask(1, body=LONG)
    link.ask(2)
    return connection


def test_a_body_that_fills_the_socket_is_written_as_there_is_room(link: Link, peer: Peer) -> None:
    connection = half_written(link, peer)
    number, check = connection.check()
    assert check.body == b"x" * LONG
    connection.sock.sendall(allowed(number))
    connection.sock.sendall(allowed(connection.check()[0]))
    link.expect(1, 2)
    link.close()


def test_room_in_the_socket_is_used_at_once(link: Link, peer: Peer) -> None:
    link.open()
    connection = peer.connected()
    start = time.monotonic()
    for check in range(4):
        link.ask(check, body=1 << 20)
        connection.sock.sendall(allowed(connection.check()[0]))
        link.expect(check)
    assert time.monotonic() - start < 2  # the thread would look by itself once a second
    link.close()


def test_a_check_that_is_dropped_half_written_is_written_to_its_end(link: Link, peer: Peer) -> None:
    connection = half_written(link, peer)
    link.drop(1)
    link.ask(3)
    dropped, check = connection.check()
    assert len(check.body) == LONG
    numbers = connection.checks(2)
    connection.sock.sendall(b"".join(map(allowed, [dropped, *numbers.values()])))
    link.expect(2, 3)
    link.close()


def test_a_check_that_is_dropped_half_written_is_not_asked_again(link: Link, peer: Peer) -> None:
    connection = half_written(link, peer)
    link.drop(1)
    connection.sock.close()
    second = peer.connected()
    number, check = second.check()
    assert check.method == "Q2"
    second.sock.sendall(allowed(number))
    link.expect(2)
    link.close()


def test_a_check_that_is_half_written_when_its_time_is_up_ends_the_connection(link: Link, peer: Peer) -> None:
    link.open(300)
    first = peer.connected()
    link.ask(1, body=LONG)
    assert link.answer(1) == (0, b"", b"")
    second = peer.connected()
    assert first.is_closed()
    link.ask(2)
    number, check = second.check()
    assert check.method == "Q2"
    second.sock.sendall(allowed(number))
    link.expect(2)
    link.drop(1)
    link.close()


def test_an_answer_to_half_a_check_is_none(link: Link, peer: Peer) -> None:
    connection = half_written(link, peer)
    connection.sock.sendall(denied(1))
    number, _ = connection.check()
    connection.sock.sendall(allowed(number) + allowed(connection.check()[0]))
    link.expect(1, 2)
    link.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"x" * 4096,
        SWITCHING + b"\xff" * 18,
        SWITCHING + bytes(18),
        SWITCHING + b"\x0e\0\0\0" + b"\1" * 14,
    ],
)
def test_a_peer_that_talks_nonsense_is_hung_up_on(link: Link, peer: Peer, garbage: bytes) -> None:
    link.open()
    link.ask(1)
    first = peer.accept()
    first.upgrade(garbage)
    second = peer.connected()
    assert first.is_closed()
    second.sock.sendall(allowed(second.check()[0]))
    link.expect(1)
    link.close()


def test_a_check_that_no_reader_survives_ends_after_three(link: Link, peer: Peer) -> None:
    link.open()
    link.ask(1)
    for _ in range(3):
        connection = peer.connected()
        assert connection.check()[1].method == "Q1"
        connection.sock.close()
    assert link.answer(1) == (0, b"", b"")
    link.ask(2)
    connection = peer.connected()
    number, check = connection.check()
    assert check.method == "Q2"
    connection.sock.sendall(allowed(number))
    link.expect(2)
    link.drop(1)
    link.close()


def test_an_end_notice_comes_after_what_was_asked_before_it(link: Link, peer: Peer) -> None:
    connection = half_written(link, peer)
    link.end(7, "id-7")
    link.ask(3)
    number, _ = connection.check()
    following = [connection.next() for _ in range(3)]
    assert following[1] == (7, Kind.END, "id-7")
    connection.sock.sendall(allowed(number) + allowed(following[0][0]) + allowed(following[2][0]))
    link.expect(1, 2, 3)
    link.close()


def test_an_end_notice_waits_for_a_peer_and_is_told_once(link: Link, path: Path) -> None:
    link.open()
    link.end(7, "id-7")
    with closing(Peer(path)) as peer:
        connection = peer.connected()
        assert connection.next() == (7, Kind.END, "id-7")
        connection.sock.close()
        second = peer.connected()
        link.ask(1)
        second.sock.sendall(allowed(second.check()[0]))
        link.expect(1)
        link.close()


def test_dropping_a_check_tells_whether_it_may_have_been_read(link: Link, path: Path) -> None:
    link.open()
    link.ask(1)
    assert link.drop(1) == [False]
    with closing(Peer(path)) as peer:
        connection = peer.connected()
        link.ask(2)
        connection.check()
        assert link.drop(2) == [True]
        link.close()


def test_a_link_closes_with_notices_that_nobody_read(link: Link) -> None:
    link.open()
    link.end(7, "id-7")
    link.close()


def test_a_peer_that_hangs_up_at_once_is_not_pestered(link: Link, peer: Peer) -> None:
    link.open()
    start = time.monotonic()
    for _ in range(8):
        peer.accept().sock.close()
    assert time.monotonic() - start > 0.3
    link.close()


def test_a_peer_that_accepts_nothing_holds_nobody_up(link: Link, path: Path) -> None:
    with closing(Peer(path, backlog=0)), closing(socket.socket(socket.AF_UNIX)) as other:
        other.connect(str(path))  # and now the backlog is full
        link.open(100)
        link.ask(1)
        assert link.answer(1) == (0, b"", b"")
        link.drop(1)
        link.close()


def test_a_link_is_shared_by_path_and_time_limit(link: Link, peer: Peer) -> None:
    link.open(1000, 0)
    assert link.open(1000, 1)
    assert not link.open(2000, 2)
    link.close(0)
    link.close(2)
    with serving(peer):
        link.driver.ask("ask", 1, 1, "Q1" + HEAD, 0)
        link.expect(1)
    link.close(1)


def test_a_long_check_does_not_keep_a_short_one_waiting(link: Link, peer: Peer) -> None:
    link.open(number=0, lane=1)
    long = peer.connected()
    assert not link.open(number=1, lane=0)
    short = peer.connected()
    link.driver.ask("ask", 1, 0, "Q1" + HEAD, LONG)  # more than the socket takes, and nobody reads it
    link.driver.ask("ask", 2, 1, "Q2" + HEAD, 0)
    short.sock.sendall(allowed(short.check()[0]))
    link.expect(2)
    long.sock.sendall(allowed(long.check()[0]))
    link.expect(1)
    link.close(0)
    link.close(1)


def test_it_closes_with_a_check_half_written(link: Link, peer: Peer) -> None:
    half_written(link, peer)
    link.drop(1, 2)
    link.close()


def test_workers_ask_and_leave_all_at_once(link: Link, peer: Peer) -> None:
    link.open()
    with serving(peer):
        assert link.driver.ask("storm", 0, 4, 150) == [b"0"]
        link.close()


def test_workers_ask_while_their_peer_comes_and_goes(link: Link, peer: Peer) -> None:
    count = itertools.count(1)

    def decide(number: int, _: object) -> bytes:
        if next(count) % 40 == 0:
            raise OSError
        return allowed(number)

    link.open()
    with serving(peer, decide):
        assert link.driver.ask("storm", 0, 4, 60) == [b"0"]
        link.close()


def test_configurations_come_and_go_on_several_threads(link: Link, path: Path, peer: Peer) -> None:
    with serving(peer):
        link.driver.ask("openings", path, 4, 40)


class TestLog:
    """What an operator reads of a translator in trouble."""

    def test_that_it_is_away(self, link: Link, path: Path) -> None:
        link.open(200)
        for check in range(3):
            link.ask(check)
            assert link.answer(check)[0] == 0
        assert link.logged("does not accept connections") == 1
        with closing(Peer(path)) as peer, serving(peer):
            link.ask(3)
            link.expect(3)
            link.drop(0, 1, 2)
            link.close()

    def test_that_it_refuses_connections(self, link: Link, peer: Peer) -> None:
        link.open()
        for _ in range(4):
            peer.accept().sock.close()
        assert link.logged("without switching to our protocol") == 1
        link.close()

    def test_that_it_speaks_another_protocol(self, link: Link, peer: Peer) -> None:
        link.open()
        for _ in range(3):
            connection = peer.accept()
            connection.upgrade(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            assert connection.is_closed()
        assert link.logged("without switching to our protocol") == 1
        link.close()

    def test_that_it_sent_nonsense(self, link: Link, peer: Peer) -> None:
        link.open()
        connection = peer.accept()
        connection.upgrade(SWITCHING + b"\xff" * 18)
        assert connection.is_closed()
        assert link.logged("what is not the protocol") == 1
        link.close()

    def test_that_it_went_away(self, link: Link, peer: Peer) -> None:
        link.open()
        link.ask(1)
        connection = peer.connected()
        connection.check()
        connection.sock.close()
        assert link.logged("closed its connection") == 1
        with serving(peer):
            link.expect(1)
            link.close()

    def test_that_it_is_silent(self, link: Link, peer: Peer) -> None:
        link.open(100)
        connection = peer.connected()
        link.ask(1, 2)
        connection.checks(2)
        assert link.answer(1)[0] == link.answer(2)[0] == 0
        assert link.logged("did not answer in time") == 1
        link.drop(1, 2)
        link.close()

    def test_each_cause_once_in_ten_seconds_with_how_many_were_left_out(self, link: Link) -> None:
        def complain(cause: int, at: int, detail: str = "") -> list[str]:
            link.driver.ask("complain", cause, detail, at)
            return [line.decode() for line in link.driver.ask("logged")]

        (first,) = complain(0, 5, "Connection refused")
        assert first.startswith("trunkline authorise: ")
        assert first.endswith(" (Connection refused)")
        assert complain(0, 6) == complain(0, 10_004) == []
        assert len(complain(1, 7)) == 1
        (third,) = complain(0, 10_005)
        assert third.endswith("left out since the last such line: 2")
        (fourth,) = complain(0, 20_005)
        assert "left out" not in fourth


def test_a_queued_check_outlives_the_time_for_answers(link: Link, peer: Peer) -> None:
    link.open(timeout_ms=1_000)
    link.ask(1, 2)
    connection = peer.connected()
    numbers = connection.checks(2)
    connection.sock.sendall(queued(numbers["Q1"], 60.0, "key-7"))
    assert link.queued(1) == b"key-7"
    assert link.answer(2) == (0, b"", b"")
    connection.sock.sendall(allowed(numbers["Q1"]))
    link.expect(1)
    link.drop(2)
    link.close()


def test_a_queued_check_does_not_wait_for_ever(link: Link, peer: Peer) -> None:
    link.open(timeout_ms=300)
    link.ask(1)
    connection = peer.connected()
    connection.sock.sendall(queued(connection.checks(1)["Q1"], 0.2))
    link.queued(1)
    assert link.answer(1) == (0, b"", b"")
    link.drop(1)
    link.close()


def test_queued_checks_are_asked_again_however_often_the_connection_breaks(link: Link, peer: Peer) -> None:
    link.open()
    link.ask(1, 2)
    for _ in range(5):
        connection = peer.connected()
        numbers = connection.checks(2)
        connection.sock.sendall(b"".join(queued(number) for number in numbers.values()))
        for check in (1, 2):
            assert link.queued(check) == b"key-1"
        connection.sock.close()
    connection = peer.connected()
    numbers = connection.checks(2)
    connection.sock.sendall(b"".join(queued(number) for number in numbers.values()))
    link.queued(1)
    link.queued(2)
    # A client that leaves is over at once.
    assert link.drop(1) == [True]
    connection.sock.sendall(allowed(numbers["Q1"]) + allowed(numbers["Q2"]))
    link.expect(2)
    link.close()


@pytest.mark.parametrize("head", ["", "soon key", "-1 key", "99999999999 key"])
def test_what_is_no_wait_is_an_answer(link: Link, peer: Peer, head: str) -> None:
    link.open()
    link.ask(1)
    connection = peer.connected()
    frame = struct.pack("<IQHI", 14 + len(head), connection.checks(1)["Q1"], 102, len(head)) + head.encode()
    connection.sock.sendall(frame)
    assert link.answer(1)[0] == 102
    link.drop(1)
    link.close()
