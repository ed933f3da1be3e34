"""The protocol without sockets: bytes of an h2 client as input, events and bytes as output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import h2.events
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    HeadersFrame,
    PriorityFrame,
    SettingsFrame,
)

from node_sidecar.http2.connection import ServerConnection
from node_sidecar.http2.events import (
    BodyReceived,
    ConnectionFailed,
    Http2Event,
    PeerLeaves,
    PingAnswered,
    RequestReceived,
    StreamReset,
    WindowOpened,
)
from node_sidecar.http2.limits import DEFAULT

HEADERS = [(":method", "POST"), (":scheme", "https"), (":authority", "node"), (":path", "/v1/x?a=b"), ("k", "v")]


class Pair:
    """A client and the connection under test, joined without delay."""

    def __init__(self, limits: object = DEFAULT) -> None:
        self.client = H2Connection(H2Configuration(client_side=True))
        self.server = ServerConnection(limits)  # type: ignore[arg-type]
        self.client.initiate_connection()
        self.now = 0.0
        assert self.turn() == [WindowOpened(0)], "the preface has the settings"

    def turn(self) -> list[Http2Event]:
        """Passes the client's bytes to the connection. Returns its events."""
        return self.raw(self.client.data_to_send())

    def raw(self, data: bytes) -> list[Http2Event]:
        return self.server.receive(data, self.now)

    def back(self) -> list[h2.events.Event]:
        """Passes the connection's bytes to the client. Returns the client's events."""
        return self.client.receive_data(self.server.output())

    def open(self, *, end: bool = True) -> int:
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, HEADERS, end_stream=end)
        return stream_id


def test_a_request_its_body_and_its_end() -> None:
    pair = Pair()
    stream_id = pair.open(end=False)
    pair.client.send_data(stream_id, b"one", pad_length=4)
    pair.client.send_data(stream_id, b"two", end_stream=True)
    request, one, two = pair.turn()
    assert isinstance(request, RequestReceived)
    assert (request.head.method, request.head.path, request.ended) == (b"POST", b"/v1/x?a=b", False)
    assert request.head.headers == ((b"k", b"v"),)
    assert one == BodyReceived(stream_id, b"one", 8, ended=False)
    assert two == BodyReceived(stream_id, b"two", 3, ended=True)


def test_trailers_end_a_body() -> None:
    pair = Pair()
    stream_id = pair.open(end=False)
    pair.client.send_headers(stream_id, [("checksum", "1")], end_stream=True)
    assert pair.turn()[1] == BodyReceived(stream_id, b"", 0, ended=True)


def test_an_answer_in_frames_of_the_peers_size() -> None:
    pair = Pair()
    stream_id = pair.open()
    pair.turn()
    pair.server.send_head(stream_id, 200, [(b"content-type", b"text/plain")], end=False)
    data = bytes(40_000)
    assert pair.server.send_data(stream_id, data, pair.server.room(stream_id)) == 40_000
    pair.server.send_end(stream_id)
    events = pair.back()
    pieces = [event.data for event in events if isinstance(event, h2.events.DataReceived)]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == 16_384
    assert any(isinstance(event, h2.events.StreamEnded) for event in events)


def test_sending_stops_at_the_windows_and_goes_on_when_they_open() -> None:
    pair = Pair()
    stream_id = pair.open()
    pair.turn()
    pair.server.send_head(stream_id, 200, [], end=False)
    assert pair.server.send_data(stream_id, bytes(100_000), pair.server.room(stream_id)) == 65_535
    assert pair.server.room(stream_id) == 0
    pair.back()
    pair.client.acknowledge_received_data(65_535, stream_id)
    assert set(pair.turn()) == {WindowOpened(0), WindowOpened(stream_id)}
    assert pair.server.room(stream_id) == 65_535


def test_a_larger_initial_window_opens_every_stream() -> None:
    pair = Pair()
    stream_id = pair.open()
    pair.turn()
    pair.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 100_000})
    assert pair.turn() == [WindowOpened(0)]
    assert pair.server.room(stream_id) == 65_535, "the connection's window stays"


def test_the_window_for_a_body_is_given_back_only_when_it_is_used() -> None:
    pair = Pair(replace(DEFAULT, stream_window=65_535, connection_window=65_536))
    pair.back()
    stream_id = pair.open(end=False)
    for _ in range(4):
        pair.client.send_data(stream_id, bytes(10_000))
    pair.turn()
    pair.back()
    assert pair.client.local_flow_control_window(stream_id) == 25_535
    pair.server.acknowledge(stream_id, 40_000)
    pair.back()
    assert pair.client.local_flow_control_window(stream_id) == 65_535


def test_what_comes_late_for_a_stream_that_is_gone_is_ignored() -> None:
    pair = Pair()
    stream_id = pair.open()
    pair.turn()
    pair.client.reset_stream(stream_id, ErrorCodes.CANCEL)
    assert pair.turn() == [StreamReset(stream_id)]
    pair.server.reset(stream_id, ErrorCodes.INTERNAL_ERROR)
    pair.server.acknowledge(stream_id, 5)


def test_a_ping_comes_back() -> None:
    pair = Pair()
    pair.server.ping(b"01234567")
    pair.back()
    assert pair.turn() == [PingAnswered(b"01234567")]


def test_drain_names_the_last_stream_and_refuses_later_ones() -> None:
    pair = Pair()
    running = pair.open()
    pair.turn()
    late = pair.open()
    on_its_way = pair.client.data_to_send()
    pair.server.drain()
    pair.server.drain()
    goaway = [event for event in pair.back() if isinstance(event, h2.events.ConnectionTerminated)]
    assert [(event.error_code, event.last_stream_id) for event in goaway] == [(ErrorCodes.NO_ERROR, running)]
    assert pair.raw(on_its_way) == []
    pair.server.send_head(running, 200, [], end=True)
    sent = pair.server.output()
    refusal = b"\x00\x00\x04\x03\x00" + late.to_bytes(4) + ErrorCodes.REFUSED_STREAM.to_bytes(4)
    assert refusal in sent
    assert b"\x01\x05" + running.to_bytes(4) in sent, "running streams continue"


def test_the_peers_goaway() -> None:
    pair = Pair()
    pair.client.close_connection()
    assert pair.turn() == [PeerLeaves()]


def resets(pair: Pair) -> bytes:
    pair.client.reset_stream(pair.open(), ErrorCodes.CANCEL)
    return pair.client.data_to_send()


def pings(pair: Pair) -> bytes:
    pair.client.ping(b"12345678")
    return pair.client.data_to_send()


FLOODS: dict[str, tuple[Callable[[Pair], bytes], int]] = {
    "RST_STREAM": (resets, DEFAULT.resets),
    "PING": (pings, DEFAULT.pings),
    "SETTINGS": (lambda _: SettingsFrame(0, {1: 4096}).serialize(), DEFAULT.settings - 1),
    "PRIORITY": (lambda _: PriorityFrame(1, depends_on=3).serialize(), DEFAULT.empty),
    "unknown": (lambda _: ExtensionFrame(0xCC, stream_id=0, body=b"").serialize(), DEFAULT.empty),
    "empty DATA": (lambda _: DataFrame(1).serialize(), DEFAULT.empty),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_ends_the_connection(kind: str) -> None:
    make, allowed = FLOODS[kind]
    pair = Pair()
    pair.open(end=False)
    pair.turn()
    for _ in range(allowed - 1):
        assert not [event for event in pair.raw(make(pair)) if isinstance(event, ConnectionFailed)]
    pair.server.output()
    pair.raw(make(pair))
    failed = pair.raw(make(pair))[-1]
    assert failed == ConnectionFailed(f"the peer sent too many {kind} frames")
    assert ErrorCodes.ENHANCE_YOUR_CALM.to_bytes(4) in pair.server.output()


def test_the_same_frames_at_leisure_are_fine() -> None:
    pair = Pair()
    for _ in range(3 * DEFAULT.pings):
        pair.now += DEFAULT.allowance_period / DEFAULT.pings
        assert pair.raw(pings(pair)) == []


def test_a_header_bomb_ends_the_connection() -> None:
    """A few bytes of HPACK expand to a megabyte of headers: one long value, then references to it."""
    pair = Pair()
    pair.client.encoder.header_table_size = 4096
    bomb = pair.client.encoder.encode([*HEADERS, ("bomb", "x" * 3_900)]) + b"\xbe" * 300
    frame = HeadersFrame(1, bomb, flags=["END_HEADERS", "END_STREAM"])
    (failed,) = pair.raw(frame.serialize())
    assert isinstance(failed, ConnectionFailed)
    assert pair.server.output()


def test_headers_without_an_end_end_the_connection() -> None:
    pair = Pair()
    assert pair.raw(HeadersFrame(1, b"\x82").serialize()) == []
    flood = b"".join(ContinuationFrame(1, b"").serialize() for _ in range(100))
    (failed,) = pair.raw(flood)
    assert isinstance(failed, ConnectionFailed)


def test_nonsense_ends_the_connection_with_a_reason() -> None:
    (failed,) = ServerConnection(DEFAULT).receive(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 0)
    assert isinstance(failed, ConnectionFailed)
    assert failed.reason.startswith("the peer broke HTTP/2")


def test_more_streams_than_announced_end_the_connection() -> None:
    pair = Pair(replace(DEFAULT, streams=2))
    pair.open()
    pair.open()
    assert len(pair.turn()) == 2
    pair.open()
    assert isinstance(pair.turn()[-1], ConnectionFailed)
