"""`envoy/module/connection.c` with checks whose requests wait for a place."""

from __future__ import annotations

import struct

import pytest

from tests.envoy.connecting import Client, client, path, peer
from tests.envoy.peer import Peer, allowed, queued

__all__ = ["client", "path", "peer"]

pytestmark = pytest.mark.parametrize("sanitizer", ["address", "thread"])


def test_a_queued_check_outlives_the_time_for_answers(client: Client, peer: Peer) -> None:
    client.open(timeout_ms=4_000)  # a busy machine has to tell in time that one waits
    connection = peer.connected()
    client.ask(1, 2)
    numbers = connection.checks(2)
    connection.sock.sendall(queued(numbers["Q1"], 60.0, "key-7"))
    assert client.queued(1) == b"key-7"
    assert client.answer(2) == (0, b"", b"")
    connection.sock.sendall(allowed(numbers["Q1"]))
    client.expect(1)
    client.drop(2)
    client.close()


def test_a_queued_check_does_not_wait_for_ever(client: Client, peer: Peer) -> None:
    client.open(timeout_ms=4_000)  # a busy machine has to tell in time that it waits
    connection = peer.connected()
    client.ask(1)
    connection.sock.sendall(queued(connection.checks(1)["Q1"], 0.2))
    client.queued(1)
    assert client.answer(1) == (0, b"", b"")
    client.drop(1)
    client.close()


def test_queued_checks_are_asked_again_however_often_the_connection_breaks(client: Client, peer: Peer) -> None:
    client.open()
    client.ask(1, 2)
    for _ in range(5):
        connection = peer.connected()
        numbers = connection.checks(2)
        connection.sock.sendall(b"".join(queued(number) for number in numbers.values()))
        for check in (1, 2):
            assert client.queued(check) == b"key-1"
        connection.sock.close()
    connection = peer.connected()
    numbers = connection.checks(2)
    connection.sock.sendall(b"".join(queued(number) for number in numbers.values()))
    client.queued(1)
    client.queued(2)
    # A client that leaves is over at once.
    assert client.drop(1) == [True]
    connection.sock.sendall(allowed(numbers["Q1"]) + allowed(numbers["Q2"]))
    client.expect(2)
    client.close()


@pytest.mark.parametrize("head", ["", "soon key", "-1 key", "99999999999 key"])
def test_what_is_no_wait_is_an_answer(client: Client, peer: Peer, head: str) -> None:
    client.open()
    client.ask(1)
    connection = peer.connected()
    frame = struct.pack("<IQHI", 14 + len(head), connection.checks(1)["Q1"], 102, len(head)) + head.encode()
    connection.sock.sendall(frame)
    assert client.answer(1)[0] == 102
    client.drop(1)
    client.close()
