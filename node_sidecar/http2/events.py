"""The events of a connection, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Name (lower case) and value, as sent.
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request without its body. `path` is path and query, as sent; `headers` is without pseudo-headers."""

    method: bytes
    path: bytes
    headers: tuple[Header, ...] = field(repr=False)

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case)."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True)
class Http2Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class RequestReceived(Http2Event):
    """A request has arrived. `ended`: it has no body."""

    stream_id: int
    head: RequestHead
    ended: bool


@dataclass(frozen=True, slots=True)
class BodyReceived(Http2Event):
    """A part of a request's body. `size` is to be acknowledged once `data` is used: data and padding."""

    stream_id: int
    data: bytes = field(repr=False)
    size: int
    ended: bool


@dataclass(frozen=True, slots=True)
class StreamReset(Http2Event):
    """The peer has reset this stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class WindowOpened(Http2Event):
    """More may be sent on this stream; 0: on any."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class ConnectionFailed(Http2Event):
    """The peer violated the protocol or an allowance. The remaining output says so; then the connection is
    closed.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class PeerLeaves(Http2Event):
    """The peer sent GOAWAY: it opens no more streams."""


@dataclass(frozen=True, slots=True)
class PingAnswered(Http2Event):
    """The peer has processed everything sent before this ping."""

    data: bytes
