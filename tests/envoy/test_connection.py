"""`envoy/module/connection.c`: its thread and a real socket, with a misbehaving translator at the other end."""

from __future__ import annotations

import itertools
import random
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.envoy.connecting import HEAD, LONG, Client, client, path, peer
from tests.envoy.peer import SWITCHING, Connection, Peer, allowed, denied, serving
from translator.checks.frames import FrameKind

__all__ = ["client", "path", "peer"]

pytestmark = pytest.mark.parametrize("sanitizer", ["address", "thread"])


def test_an_answer_comes_to_who_asked(client: Client, peer: Peer) -> None:
    client.open()
    client.ask(1, 2, 3)
    connection = peer.connected()
    numbers = connection.checks(3)
    for check in (3, 1, 2):
        connection.sock.sendall(denied(numbers[f"Q{check}"], b"%d" % check))
    for check in (1, 2, 3):
        assert client.answer(check) == (429, b"retry-after: 1", b"%d" % check)
    client.drop(1, 2, 3)
    client.close()


@pytest.mark.parametrize("piece", [1, 7, 1_000_000])
def test_answers_come_in_any_pieces(client: Client, peer: Peer, piece: int) -> None:
    client.open()
    client.ask(*range(20))
    connection = peer.accept()
    connection.upgrade(b"")
    numbers = list(connection.checks(20).values())
    random.Random(piece).shuffle(numbers)
    text = SWITCHING + b"".join(map(allowed, numbers))
    for at in range(0, len(text), piece):
        connection.sock.sendall(text[at : at + piece])
    client.expect(*range(20))
    client.close()


def test_thousands_wait_and_each_gets_its_own(client: Client, peer: Peer) -> None:
    client.open()
    client.ask(*range(2000))
    connection = peer.connected()
    numbers = connection.checks(2000)
    order = list(numbers.items())
    random.Random(0).shuffle(order)
    connection.sock.sendall(b"".join(denied(number, name.encode()) for name, number in order))
    for check in range(2000):
        assert client.answer(check)[2] == b"Q%d" % check
    client.drop(*range(2000))
    client.close()


def test_checks_without_an_answer_are_asked_again(client: Client, peer: Peer) -> None:
    client.open()
    client.ask(1, 2, 3)
    first = peer.connected()
    numbers = first.checks(3)
    first.sock.sendall(allowed(numbers["Q2"]) + allowed(numbers["Q3"])[:20])
    client.expect(2)
    first.sock.close()
    client.ask(4)
    second = peer.connected()
    again = second.checks(3)
    assert set(again) == {"Q1", "Q3", "Q4"}
    second.sock.sendall(b"".join(map(allowed, again.values())))
    client.expect(1, 3, 4)
    client.close()


def test_a_peer_that_comes_late_is_found(client: Client, path: Path) -> None:
    client.open()
    client.ask(1, 2)
    with closing(Peer(path)) as peer, serving(peer):
        client.expect(1, 2)
        client.close()


@pytest.mark.parametrize("timeout_ms", [50, 1200])
def test_a_silent_peer_is_waited_for_no_longer_than_the_time_limit(
    client: Client, peer: Peer, timeout_ms: int
) -> None:
    client.open(timeout_ms)
    peer.connected()
    client.ask(1)
    start = time.monotonic()
    assert client.answer(1) == (0, b"", b"")
    assert time.monotonic() - start < 30  # without the limit it would wait for ever
    client.drop(1)
    client.close()


def test_an_answer_that_comes_too_late_is_none(client: Client, peer: Peer) -> None:
    client.open(200)
    connection = peer.connected()
    client.ask(1)
    late, _ = connection.check()
    assert client.answer(1)[0] == 0

    def answered(check: int) -> bool:
        client.ask(check)
        number, _ = connection.check()
        connection.sock.sendall(allowed(late) + denied(number, b"in time"))
        status, _, body = client.answer(check)
        client.drop(check)
        assert (status, body) in {(0, b""), (429, b"in time")}
        return status != 0

    # A busy machine may answer too late again.
    assert any(map(answered, range(2, 100)))
    client.drop(1)
    client.close()


def test_a_dropped_check_is_not_asked(client: Client, path: Path) -> None:
    client.open()
    client.ask(1, 2, 3)
    client.drop(1, 3)
    with closing(Peer(path)) as peer:
        connection = peer.connected()
        number, check = connection.check()
        assert check.method == "Q2"
        connection.sock.sendall(allowed(number))
        client.expect(2)
        client.close()


def test_an_answer_to_a_dropped_check_is_passed_over(client: Client, peer: Peer) -> None:
    client.open()
    connection = peer.connected()
    client.ask(1, 2)
    numbers = connection.checks(2)
    client.drop(1)
    connection.sock.sendall(allowed(numbers["Q1"]) * 2 + allowed(numbers["Q2"]) * 2)
    client.expect(2)
    client.close()


def half_written(client: Client, peer: Peer) -> Connection:
    """Sends check 1, which is half written because the peer does not read; check 2 waits behind it."""
    client.open()
    connection = peer.connected()
    client.ask(1, body=LONG)
    connection.has_begun()
    client.ask(2)
    return connection


def test_a_body_that_fills_the_socket_is_written_as_there_is_room(client: Client, peer: Peer) -> None:
    connection = half_written(client, peer)
    number, check = connection.check()
    assert check.body == b"x" * LONG
    connection.sock.sendall(allowed(number))
    connection.sock.sendall(allowed(connection.check()[0]))
    client.expect(1, 2)
    client.close()


def test_room_in_the_socket_is_used_at_once(client: Client, peer: Peer) -> None:
    client.open()
    connection = peer.connected()
    start = time.monotonic()
    for check in range(25):
        client.ask(check, body=1 << 20)
        connection.sock.sendall(allowed(connection.check()[0]))
        client.expect(check)
    # By itself, the thread would look only once a second, several times for each check.
    assert time.monotonic() - start < 60
    client.close()


def test_a_check_that_is_dropped_half_written_is_written_to_its_end(client: Client, peer: Peer) -> None:
    connection = half_written(client, peer)
    client.drop(1)
    client.ask(3)
    dropped, check = connection.check()
    assert len(check.body) == LONG
    numbers = connection.checks(2)
    connection.sock.sendall(b"".join(map(allowed, [dropped, *numbers.values()])))
    client.expect(2, 3)
    client.close()


def test_a_check_that_is_dropped_half_written_is_not_asked_again(client: Client, peer: Peer) -> None:
    connection = half_written(client, peer)
    client.drop(1)
    connection.sock.close()
    second = peer.connected()
    number, check = second.check()
    assert check.method == "Q2"
    second.sock.sendall(allowed(number))
    client.expect(2)
    client.close()


def test_a_check_that_is_half_written_when_its_time_is_up_ends_the_connection(client: Client, peer: Peer) -> None:
    client.open(300)
    first = peer.connected()
    client.ask(1, body=LONG)
    assert client.answer(1) == (0, b"", b"")
    second = peer.connected()
    assert first.is_closed()

    def answered(check: int) -> bool:
        client.ask(check)
        number, asked = second.check()
        assert asked.method == f"Q{check}"
        second.sock.sendall(allowed(number))
        status, _, _ = client.answer(check)
        client.drop(check)
        return status == 200

    # A busy machine may answer too late.
    assert any(map(answered, range(2, 100)))
    client.drop(1)
    client.close()


def test_an_answer_to_half_a_check_is_none(client: Client, peer: Peer) -> None:
    connection = half_written(client, peer)
    connection.sock.sendall(denied(1))
    number, _ = connection.check()
    connection.sock.sendall(allowed(number) + allowed(connection.check()[0]))
    client.expect(1, 2)
    client.close()


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
def test_a_peer_that_talks_nonsense_is_hung_up_on(client: Client, peer: Peer, garbage: bytes) -> None:
    client.open()
    client.ask(1)
    first = peer.accept()
    first.upgrade(garbage)
    second = peer.connected()
    assert first.is_closed()
    second.sock.sendall(allowed(second.check()[0]))
    client.expect(1)
    client.close()


def test_a_check_that_no_reader_survives_ends_after_three(client: Client, peer: Peer) -> None:
    client.open()
    client.ask(1)
    for _ in range(3):
        connection = peer.connected()
        assert connection.check()[1].method == "Q1"
        connection.sock.close()
    assert client.answer(1) == (0, b"", b"")
    client.ask(2)
    connection = peer.connected()
    number, check = connection.check()
    assert check.method == "Q2"
    connection.sock.sendall(allowed(number))
    client.expect(2)
    client.drop(1)
    client.close()


def test_an_end_notice_comes_after_what_was_asked_before_it(client: Client, peer: Peer) -> None:
    connection = half_written(client, peer)
    client.end(7, "id-7")
    client.ask(3)
    number, _ = connection.check()
    following = [connection.next() for _ in range(3)]
    assert following[1] == (7, FrameKind.END, "id-7")
    connection.sock.sendall(allowed(number) + allowed(following[0][0]) + allowed(following[2][0]))
    client.expect(1, 2, 3)
    client.close()


def test_an_end_notice_waits_for_a_peer_and_is_reported_once(client: Client, path: Path) -> None:
    client.open()
    client.end(7, "id-7")
    with closing(Peer(path)) as peer:
        connection = peer.connected()
        assert connection.next() == (7, FrameKind.END, "id-7")
        connection.sock.close()
        second = peer.connected()
        client.ask(1)
        second.sock.sendall(allowed(second.check()[0]))
        client.expect(1)
        client.close()


def test_dropping_a_check_tells_whether_it_may_have_been_read(client: Client, path: Path) -> None:
    client.open()
    client.ask(1)
    assert client.drop(1) == [False]
    with closing(Peer(path)) as peer:
        connection = peer.connected()
        client.ask(2)
        connection.check()
        assert client.drop(2) == [True]
        client.close()


def test_a_connection_closes_with_notices_that_nobody_read(client: Client) -> None:
    client.open()
    client.end(7, "id-7")
    client.close()


def test_a_peer_that_hangs_up_at_once_is_not_pestered(client: Client, peer: Peer) -> None:
    client.open()
    start = time.monotonic()
    for _ in range(8):
        peer.accept().sock.close()
    assert time.monotonic() - start > 0.3
    client.close()


def test_a_peer_that_accepts_nothing_holds_nobody_up(client: Client, path: Path) -> None:
    with closing(Peer(path, backlog=0)), closing(socket.socket(socket.AF_UNIX)) as other:
        other.connect(str(path))  # and now the backlog is full
        client.open(100)
        client.ask(1)
        assert client.answer(1) == (0, b"", b"")
        client.drop(1)
        client.close()


def test_a_connection_is_shared_by_path_and_time_limit(client: Client, peer: Peer) -> None:
    client.open(50_000, 0)
    assert client.open(50_000, 1)
    assert not client.open(60_000, 2)
    client.close(0)
    client.close(2)
    with serving(peer):
        client.driver.ask("ask", 1, 1, "Q1" + HEAD, 0)
        client.expect(1)
    client.close(1)


def test_a_long_check_does_not_keep_a_short_one_waiting(client: Client, peer: Peer) -> None:
    client.open(number=0, lane=1)
    long = peer.connected()
    assert not client.open(number=1, lane=0)
    short = peer.connected()
    client.driver.ask("ask", 1, 0, "Q1" + HEAD, LONG)  # more than the socket takes, and nobody reads it
    client.driver.ask("ask", 2, 1, "Q2" + HEAD, 0)
    short.sock.sendall(allowed(short.check()[0]))
    client.expect(2)
    long.sock.sendall(allowed(long.check()[0]))
    client.expect(1)
    client.close(0)
    client.close(1)


def test_it_closes_with_a_check_half_written(client: Client, peer: Peer) -> None:
    half_written(client, peer)
    client.drop(1, 2)
    client.close()


def test_workers_ask_and_leave_all_at_once(client: Client, peer: Peer) -> None:
    client.open()
    with serving(peer):
        assert client.driver.ask("storm", 0, 4, 150) == [b"0"]
        client.close()


def test_workers_ask_while_their_peer_comes_and_goes(client: Client, peer: Peer) -> None:
    count = itertools.count(1)

    def decide(number: int, _: object) -> bytes:
        if next(count) % 40 == 0:
            raise OSError
        return allowed(number)

    client.open()
    with serving(peer, decide):
        assert client.driver.ask("storm", 0, 4, 60) == [b"0"]
        client.close()


def test_configurations_come_and_go_on_several_threads(client: Client, path: Path, peer: Peer) -> None:
    with serving(peer):
        client.driver.ask("openings", path, 4, 40)
