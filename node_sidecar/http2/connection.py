"""The server's side of one HTTP/2 connection (RFC 9113), without I/O and without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

from node_sidecar.http2.allowance import Allowance
from node_sidecar.http2.events import (
    BodyReceived,
    ConnectionFailed,
    Header,
    Http2Event,
    PeerLeaves,
    PingAnswered,
    RequestHead,
    RequestReceived,
    StreamReset,
    WindowOpened,
)
from node_sidecar.http2.limits import Http2Limits

_INITIAL_WINDOW = 65_535  # RFC 9113 section 6.9.2


class PatientConnection(H2Connection):
    """Lets open streams finish after a GOAWAY, as RFC 9113 section 6.8 requires; h2 would end the connection."""

    #: Closed streams to remember, so that their late frames are ignored. h2's 65,536 would be megabytes on each
    #: tunnel.
    MAX_CLOSED_STREAMS = 4096

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]


class ServerConnection:
    """The protocol state of a connection. Pass received data to `receive` and send what `output` returns. After
    ConnectionFailed only `output` may be called.
    """

    def __init__(self, limits: Http2Limits) -> None:
        self._h2 = PatientConnection(H2Configuration(client_side=False, header_encoding=None))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_list,
            },
        )
        self._h2.decoder.max_header_list_size = limits.header_list
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(limits.connection_window - _INITIAL_WINDOW)
        self._after: bytes = b""  # sent after h2's own output
        self._refuses_above: int | None = None
        self._last_stream = 0
        period = limits.allowance_period
        pings, empty = Allowance(limits.pings, period), Allowance(limits.empty, period)
        self._empty = empty
        self._allowances: dict[type[Any], tuple[Allowance, str]] = {
            h2.events.StreamReset: (Allowance(limits.resets, period), "RST_STREAM"),
            h2.events.PingReceived: (pings, "PING"),
            h2.events.RemoteSettingsChanged: (Allowance(limits.settings, period), "SETTINGS"),
            h2.events.WindowUpdated: (Allowance(limits.window_updates, period), "WINDOW_UPDATE"),
            h2.events.PriorityUpdated: (empty, "PRIORITY"),
            h2.events.UnknownFrameReceived: (empty, "unknown"),
        }
        self._handlers: dict[type[Any], Callable[[Any], Http2Event | None]] = {
            h2.events.RequestReceived: self._on_request,
            h2.events.DataReceived: self._on_data,
            h2.events.TrailersReceived: self._on_trailers,
            h2.events.StreamReset: lambda event: StreamReset(event.stream_id),
            h2.events.WindowUpdated: lambda event: WindowOpened(event.stream_id),
            h2.events.RemoteSettingsChanged: _on_settings,
            h2.events.ConnectionTerminated: lambda _: PeerLeaves(),
            h2.events.PingAckReceived: lambda event: PingAnswered(event.ping_data),
        }

    def receive(self, data: bytes, now: float) -> list[Http2Event]:
        """Returns the events in `data`, received at `now` (seconds, monotonic)."""
        try:
            incoming = self._h2.receive_data(data)
        except ProtocolError as error:
            return [ConnectionFailed(f"the peer broke HTTP/2: {error}")]
        events: list[Http2Event] = []
        for one in incoming:
            kind = type(one)
            if self._too_many(kind, one, now):
                self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                name = self._allowances[kind][1] if kind in self._allowances else "empty DATA"
                events.append(ConnectionFailed(f"the peer sent too many {name} frames"))
                return events
            handler = self._handlers.get(kind)
            if handler is not None and (event := handler(one)) is not None:
                events.append(event)
        return events

    def output(self) -> bytes:
        """Returns the bytes to send now; the next call does not repeat them."""
        data = self._h2.data_to_send()
        if self._after:
            data += self._after
            self._after = b""
        return data

    def room(self, stream_id: int) -> int:
        """Returns how many bytes may be sent on this stream now, by its window and the connection's; may be
        negative.
        """
        try:
            return self._h2.local_flow_control_window(stream_id)
        except H2Error:  # the stream was closed in the meantime
            return 0

    def send_head(self, stream_id: int, status: int, headers: Iterable[Header], *, end: bool) -> None:
        """Sends the response's head. Header names are in lower case and not connection-specific."""
        pseudo = (b":status", b"%d" % status)
        self._h2.send_headers(stream_id, [pseudo, *headers], end_stream=end)

    def send_data(self, stream_id: int, data: bytes | memoryview, room: int) -> int:
        """Sends the first bytes of `data`, at most `room` (from `room()`). Returns how many."""
        size = min(len(data), room)
        frame = self._h2.max_outbound_frame_size
        if len(data) <= size <= frame:
            self._h2.send_data(stream_id, data)
            return size
        view = memoryview(data)
        for start in range(0, size, frame):
            self._h2.send_data(stream_id, view[start : min(start + frame, size)])
        return size

    def send_end(self, stream_id: int) -> None:
        """Ends the stream cleanly."""
        self._h2.end_stream(stream_id)

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Resets a stream, which the peer sees as broken. Does nothing if it has ended on both sides."""
        try:
            self._h2.reset_stream(stream_id, code)
        except H2Error:
            return

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Acknowledges `size` consumed bytes of BodyReceived, so that the peer may send as many more."""
        self._h2.acknowledge_received_data(size, stream_id)

    def ping(self, data: bytes) -> None:
        """Sends a ping; `data` is 8 bytes that come back in PingAnswered."""
        self._h2.ping(data)

    def drain(self) -> None:
        """Sends GOAWAY: streams up to the last one continue, later ones are refused (RFC 9113 section 6.8).

        It does not use h2's `close_connection`, after which nothing more can be sent.
        """
        if self._refuses_above is None:
            self._refuses_above = self._last_stream
            self._after += GoAwayFrame(last_stream_id=self._last_stream).serialize()

    def _too_many(self, kind: type[Any], event: Any, now: float) -> bool:
        if kind is h2.events.DataReceived:
            return not event.data and event.stream_ended is None and not self._empty.spend(now)
        found = self._allowances.get(kind)
        return found is not None and not found[0].spend(now)

    def _on_request(self, event: h2.events.RequestReceived) -> Http2Event | None:
        stream_id = event.stream_id
        if self._refuses_above is not None and stream_id > self._refuses_above:
            # Promises that the request was not processed, so that it is sent again elsewhere (section 8.7).
            self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return None
        self._last_stream = stream_id
        method = path = b""
        headers: list[Header] = []
        for name, value in event.headers:
            if name == b":method":
                method = bytes(value)
            elif name == b":path":
                path = bytes(value)
            elif not name.startswith(b":"):
                headers.append((bytes(name), bytes(value)))
        return RequestReceived(
            stream_id, RequestHead(method, path, tuple(headers)), event.stream_ended is not None
        )

    @staticmethod
    def _on_data(event: h2.events.DataReceived) -> Http2Event | None:
        ended = event.stream_ended is not None
        return BodyReceived(event.stream_id, event.data, event.flow_controlled_length, ended)

    @staticmethod
    def _on_trailers(event: h2.events.TrailersReceived) -> Http2Event | None:
        return BodyReceived(event.stream_id, b"", 0, ended=True)


def _on_settings(event: h2.events.RemoteSettingsChanged) -> Http2Event | None:
    return WindowOpened(0) if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings else None
