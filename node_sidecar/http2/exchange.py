"""One request and its answer, as the handler sees them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from node_sidecar.errors import StreamClosedError
from node_sidecar.http2.events import Header, RequestHead


class Wire(Protocol):
    """The interface of a connection that an exchange uses."""

    def send_head(self, stream_id: int, status: int, headers: Iterable[Header], *, end: bool) -> None:
        """Sends the head of an answer; `end` if it has no body."""

    def write(self, stream_id: int, data: bytes | memoryview) -> int:
        """Sends as many of the first bytes of `data` as allowed now. Returns how many."""

    async def writable(self, stream_id: int) -> None:
        """Returns when `write` may be able to send again."""

    def end(self, stream_id: int) -> None:
        """Ends the answer."""

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Lets the peer send `size` further bytes of this request's body."""


class Exchange:
    """A request to answer. The handler's task is cancelled as soon as the client has left.

    If a handler returns without `end`, or raises, the stream is reset: the answer is visibly broken and never
    looks complete.
    """

    __slots__ = (
        "_arrived",
        "_body_ended",
        "_pieces",
        "_wire",
        "closed",
        "ended",
        "head",
        "stream_id",
    )

    def __init__(self, stream_id: int, head: RequestHead, wire: Wire, *, body_ended: bool) -> None:
        self.stream_id = stream_id
        self.head = head
        self.ended = False  # the answer is complete
        self.closed = False  # reset by the peer, or the connection is lost
        self._wire = wire
        self._pieces: deque[tuple[bytes, int]] = deque()  # at most the stream's window
        self._body_ended = body_ended
        self._arrived: asyncio.Future[None] | None = None

    @property
    def body_ended(self) -> bool:
        """The whole request has arrived."""
        return self._body_ended

    async def read(self) -> bytes:
        """Returns the next piece of the request's body, empty at its end. The peer may then send as many bytes
        more.
        """
        while not self._pieces:
            if self._body_ended:
                return b""
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        data, size = self._pieces.popleft()
        self._wire.acknowledge(self.stream_id, size)
        return data

    def send_head(self, status: int, headers: Iterable[Header], *, end: bool = False) -> None:
        """Sends the answer's head. Header names are in lower case and not connection-specific. Raises
        StreamClosedError.
        """
        self._check_open()
        self._wire.send_head(self.stream_id, status, headers, end=end)
        self.ended = end

    async def send(self, data: bytes) -> None:
        """Sends all of `data`, waiting for the peer to read if necessary. Raises StreamClosedError."""
        rest: bytes | memoryview = data
        while True:
            self._check_open()
            sent = self._wire.write(self.stream_id, rest)
            if sent == len(rest):
                return
            rest = memoryview(rest)[sent:]
            await self._wire.writable(self.stream_id)

    def end(self) -> None:
        """Ends the answer. Raises StreamClosedError."""
        self._check_open()
        self._wire.end(self.stream_id)
        self.ended = True

    def body_arrived(self, data: bytes, size: int, *, ended: bool) -> None:
        """Called by the connection when a part of the body has arrived."""
        if size:
            self._pieces.append((data, size))
        self._body_ended = ended
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def unread(self) -> int:
        """Called by the connection when the handler is done; returns the bytes that it never read."""
        size = sum(size for _, size in self._pieces)
        self._pieces.clear()
        return size

    def _check_open(self) -> None:
        if self.closed:
            raise StreamClosedError("the gateway took this request back")
