"""`envoy/module/pending_checks.c`: the checks of one turn of a worker are written together."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.envoy.connecting import LONG, Client, client, path, peer
from tests.envoy.peer import Connection, Peer, allowed, serving
from translator.checks.frames import FrameKind

__all__ = ["client", "path", "peer"]

pytestmark = pytest.mark.parametrize("sanitizer", ["address", "thread"])

#: The number of a check that no test uses.
FIRST = 30_000


@pytest.fixture
def connection(client: Client, peer: Peer) -> Connection:
    client.open()
    connected = peer.connected()
    # The module may still be about to send what waits; once a check is answered, it is not.
    client.ask(FIRST)
    connected.sock.sendall(allowed(connected.check()[0]))
    client.expect(FIRST)
    client.hold()
    return connected


def expect(client: Client, connection: Connection, *checks: int) -> None:
    """Expects these checks, in this order, and nothing else before them."""
    numbers = [connection.check() for _ in checks]
    assert [check.method for _, check in numbers] == [f"Q{check}" for check in checks]
    connection.sock.sendall(b"".join(allowed(number) for number, _ in numbers))
    client.expect(*checks)


def test_only_the_first_check_of_a_turn_has_the_event_that_ends_it(client: Client, connection: Connection) -> None:
    client.ask(1, 2, 3)
    assert [client.flush(check) for check in (3, 2, 1)] == [False, False, True]
    expect(client, connection, 1, 2, 3)
    client.ask(4)
    assert client.flush(4)
    expect(client, connection, 4)
    client.close()


def test_more_checks_than_fit_into_one_write_are_written(client: Client, connection: Connection) -> None:
    client.ask(*range(200))
    assert client.flush(0)
    expect(client, connection, *range(200))
    client.close()


def test_what_does_not_fit_into_the_socket_follows_later(client: Client, connection: Connection) -> None:
    client.ask(*range(100), body=60_000)
    assert client.flush(0)
    client.ask(100)  # behind them, though the next turn begins
    assert client.flush(100)
    expect(client, connection, *range(101))
    client.close()


def test_if_the_check_with_the_event_is_dropped_the_others_are_written(
    client: Client, connection: Connection
) -> None:
    client.ask(1, 2, 3)
    assert client.drop(3, 1) == [False, False]
    expect(client, connection, 2)
    client.ask(4)
    assert client.flush(4)
    expect(client, connection, 4)
    client.close()


def test_an_end_notice_waits_for_the_turn_too(client: Client, connection: Connection) -> None:
    client.ask(1)
    client.end(77, "request")
    client.ask(2)
    assert client.flush(1)
    first, _ = connection.check()
    assert connection.next() == (77, FrameKind.END, "request")
    second, _ = connection.check()
    connection.sock.sendall(allowed(first) + allowed(second))
    client.expect(1, 2)
    client.close()


def test_a_long_check_is_written_at_once(client: Client, peer: Peer, connection: Connection) -> None:
    client.ask(1)
    client.open(number=1, lane=1)
    long = peer.connected()
    client.ask(2, body=LONG, connection=1)
    number, check = long.check()
    assert check.method == "Q2"
    long.sock.sendall(allowed(number))
    client.expect(2)
    assert client.flush(1)
    expect(client, connection, 1)
    client.close(1)
    client.close()


def test_a_broken_connection_loses_no_check_of_the_turn(
    client: Client, peer: Peer, connection: Connection
) -> None:
    client.ask(1, 2)
    connection.sock.close()
    again = peer.connected()
    expect(client, again, 1, 2)
    client.close()


def test_a_peer_that_comes_late_gets_the_checks_of_a_turn(client: Client, path: Path) -> None:
    client.open()
    client.hold()
    client.ask(1, 2)
    assert client.flush(1)
    with closing(Peer(path)) as peer, serving(peer):
        client.expect(1, 2)
        client.close()
