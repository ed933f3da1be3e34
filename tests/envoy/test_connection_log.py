"""Envoy's log about a translator in trouble."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.envoy.connecting import Client, client, path, peer
from tests.envoy.peer import SWITCHING, Peer, serving

__all__ = ["client", "path", "peer"]

pytestmark = pytest.mark.parametrize("sanitizer", ["address", "thread"])


class TestLog:
    """Each cause of trouble is logged."""

    def test_that_it_is_away(self, client: Client, path: Path) -> None:
        client.open(200)
        for check in range(3):
            client.ask(check)
            assert client.answer(check)[0] == 0
        assert client.logged("does not accept connections") == 1
        with closing(Peer(path)) as peer, serving(peer):

            def answered(check: int) -> bool:
                client.ask(check)
                status, _, _ = client.answer(check)
                client.drop(check)
                return status == 200

            # A busy machine may answer too late.
            assert any(map(answered, range(3, 100)))
            client.drop(0, 1, 2)
            client.close()

    def test_that_it_refuses_connections(self, client: Client, peer: Peer) -> None:
        client.open()
        for _ in range(4):
            peer.accept().sock.close()
        assert client.logged("without switching to our protocol") == 1
        client.close()

    def test_that_it_speaks_another_protocol(self, client: Client, peer: Peer) -> None:
        client.open()
        for _ in range(3):
            connection = peer.accept()
            connection.upgrade(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            assert connection.is_closed()
        assert client.logged("without switching to our protocol") == 1
        client.close()

    def test_that_it_sent_nonsense(self, client: Client, peer: Peer) -> None:
        client.open()
        connection = peer.accept()
        connection.upgrade(SWITCHING + b"\xff" * 18)
        assert connection.is_closed()
        assert client.logged("violated the protocol") == 1
        client.close()

    def test_that_it_went_away(self, client: Client, peer: Peer) -> None:
        client.open()
        client.ask(1)
        connection = peer.connected()
        connection.check()
        connection.sock.close()
        assert client.logged("closed its connection") == 1
        with serving(peer):
            client.expect(1)
            client.close()

    def test_that_it_is_silent(self, client: Client, peer: Peer) -> None:
        client.open(100)
        peer.connected()
        client.ask(1, 2)
        assert client.answer(1)[0] == client.answer(2)[0] == 0
        assert client.logged("did not answer in time") == 1
        client.drop(1, 2)
        client.close()

    def test_each_cause_once_in_ten_seconds_with_how_many_were_left_out(self, client: Client) -> None:
        def complain(cause: int, at: int, detail: str = "") -> list[str]:
            client.driver.ask("complain", cause, detail, at)
            return [line.decode() for line in client.driver.ask("logged")]

        (first,) = complain(0, 5, "Connection refused")
        assert first.startswith("trunkline authorise: ")
        assert first.endswith(" (Connection refused)")
        assert complain(0, 6) == complain(0, 10_004) == []
        assert len(complain(1, 7)) == 1
        (third,) = complain(0, 10_005)
        assert third.endswith("left out since the last such line: 2")
        (fourth,) = complain(0, 20_005)
        assert "left out" not in fourth
