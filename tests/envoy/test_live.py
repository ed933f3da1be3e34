"""The running requests, as the module reports them, and how a command ends one over any connection."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.envoy.filters import ATTEMPT, AUTHORISE, REQUEST, RESPONSE, SETTINGS, Filter, attempt
from tests.envoy.native import Driver
from tests.envoy.peer import PATIENCE, Connection, Peer
from translator.checks.answers import Allowed, Command, Order
from translator.checks.frames import CommandResult, FrameKind
from translator.running import progress, quotas
from translator.running.progress import Progress

CANCELLED = 3


class Envoy:
    """The module with both of its connections, and the translator's end of them."""

    def __init__(self, driver: Driver, connections: list[Connection]) -> None:
        self.driver = driver
        self.connections = connections

    def begin(self, request_id: str) -> Filter:
        """Returns a request that was let through."""
        request = Filter(self.driver, AUTHORISE)
        request.add(REQUEST, **{":method": "POST", ":path": "/v1/x", "x-request-id": request_id})
        request.call("request_headers", 1)
        asked, _, _ = select.select([each.sock for each in self.connections], [], [], PATIENCE)
        (connection,) = [each for each in self.connections if each.sock in asked]
        number, _ = connection.check()
        note = f"{request_id} 1 org key"
        connection.sock.sendall(Allowed("route", "", note, "/chat", "-", '0:0:j:"m"').encode(number))
        assert request.scheduled()
        return request

    def command(self, order: Order, request_id: str = "", token: str = "t-1") -> list[Progress]:
        found: list[Progress] = []
        for connection in self.connections:
            connection.sock.sendall(Command(order, token, request_id).encode())
        for connection in self.connections:
            _, kind, content = connection.next()
            assert kind == FrameKind.COMMAND_RESULT
            assert isinstance(content, CommandResult)
            assert content.token == token
            found += progress.read(content.lines)
        return found


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[Envoy]:
    path = tmp_path / "socket"
    with closing(Peer(path)) as peer, Driver("filters", TRUNKLINE_TRANSLATOR_SOCKET=str(path)) as driver:
        assert driver.ask("configure", AUTHORISE, "authorise", SETTINGS) == [b"1"]
        assert driver.ask("configure", ATTEMPT, "dress", "") == [b"1"]
        yield Envoy(driver, [peer.connected(), peer.connected()])
        driver.ask("unconfigure", ATTEMPT)
        driver.ask("unconfigure", AUTHORISE)


def test_what_runs_is_reported_once(envoy: Envoy) -> None:
    assert envoy.command(Order.REPORT) == []
    with envoy.begin("one"), envoy.begin("two") as two:
        assert envoy.command(Order.REPORT) == [
            Progress(0, 0, 0, "", "one 1 org key"),
            Progress(0, 0, 0, "", "two 1 org key"),
        ]
        with attempt(two, 'u - key a/m%20x "there"') as made:
            made.call("request_headers", 1)
            made.add(RESPONSE, **{":status": "200", "content-type": "text/event-stream"})
            made.call("response_headers", 0)
            event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
            made.call("response_body", 0, event, event)
            assert envoy.command(Order.REPORT)[1] == Progress(1, 2, 2 * len(event), "a/m x", "two 1 org key")
    assert envoy.command(Order.REPORT) == []


def test_one_is_cancelled_before_it_is_answered(envoy: Envoy) -> None:
    with envoy.begin("one") as one, envoy.begin("two") as two:
        assert [each.request_id for each in envoy.command(Order.CANCEL, "one")] == ["one"]
        assert one.step()[0] == CANCELLED
        status, details, body, *headers = one.response()
        assert (status, details) == (b"499", b"trunkline_cancelled")
        assert b'"code":"request_cancelled"' in body
        assert headers[2:] == [b"x-should-retry", b"false"]
        assert two.response()[:1] in ([], [b"0"], [b""])
        envoy.driver.ask("complete", one.slot)
        assert one.state("trunkline.failed") == b"cancelled"
        # The request is over, so no other one is ended in its place.
        assert envoy.command(Order.CANCEL, "one") == []
    assert envoy.command(Order.CANCEL, "absent") == []


def test_one_that_is_being_answered_breaks_off(envoy: Envoy) -> None:
    with envoy.begin("one") as one:
        one.add(RESPONSE, **{":status": "200"})
        one.call("response_headers", 0)
        # However often.
        for _ in range(2):
            assert len(envoy.command(Order.CANCEL, "one")) == 1
            assert one.step()[0] == CANCELLED
        assert one.response() == [b"reset", b"trunkline_cancelled"]


def test_what_others_share_is_taken_and_reported_once(envoy: Envoy) -> None:
    host = 2**63 + 1
    lines = f"g 2\na 9 r 60 30 15 0\np {host} 1 429 2 0 1 11 12 13 1 100 20000\n"
    for connection in envoy.connections:
        connection.sock.sendall(Command(Order.SHARE, "t", body=lines.encode()).encode())
    reports = []
    for connection in envoy.connections:
        _, _, content = connection.next()
        assert isinstance(content, CommandResult)
        reports.append(content.lines)
    standing = quotas.read(reports)
    assert [(use.account, use.amount, use.share) for use in standing.uses] == [(9, 30, 15)]
    assert [(each.host, each.foreign) for each in standing.pauses] == [(host, True)]
    assert [each.host for each in standing.rests] == [host]
    assert sum(report.count(b"o ") for report in reports) == 1


def test_an_unknown_command_does_nothing(envoy: Envoy) -> None:
    """A later translator may know others."""
    with envoy.begin("one"):
        for connection in envoy.connections:
            connection.sock.sendall(b"\x0f\x00\x00\x00" + bytes(8) + b"\x63\x00" + b"\x01\x00\x00\x00" + b"t")
        for connection in envoy.connections:
            assert connection.next()[2] == CommandResult("t", b"")
        assert [each.request_id for each in envoy.command(Order.REPORT)] == ["one"]
