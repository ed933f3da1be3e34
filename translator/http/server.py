"""The transport: asyncio sockets around `RequestReader`, and around the protocol to which a connection is
upgraded.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from translator.errors import MalformedFrameError, MalformedHttpError
from translator.http.reader import RequestReader
from translator.message import Request, Response

_BACKLOG = 4096


class UpgradedConnection(Protocol):
    """The protocol of a connection after its upgrade: bytes in, bytes out."""

    def receive(self, data: bytes) -> bytes:
        """Takes received bytes. Raises MalformedFrameError; after that the connection is closed."""

    def close(self) -> None:
        """Called when the connection is gone."""


Handler = Callable[[Request], Response | Awaitable[Response]]
#: Makes the session of a connection, given the function that writes to it.
Upgrades = Mapping[bytes, Callable[[Callable[[bytes], None]], UpgradedConnection]]


class Server:
    """Answers every request with `handler`, which may return an awaitable; the connection's next request waits for
    it.

    `upgrades` are other protocols to which a connection can be switched, by their names (RFC 9110 section 7.8).
    """

    def __init__(self, handler: Handler, max_body: int, upgrades: Upgrades | None = None) -> None:
        self._handler = handler
        self._upgrades = upgrades or {}
        self._max_body = max_body
        self._connections: set[_Connection] = set()
        self._listening: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serves on a bound or listening Unix or TCP socket, and closes it at `stop`."""
        loop = asyncio.get_running_loop()

        def connection() -> _Connection:
            reader = RequestReader(self._max_body)
            return _Connection(self._handler, reader, self._upgrades, self._connections)

        if sock.family == socket.AF_UNIX:
            self._listening = await loop.create_unix_server(connection, sock=sock, backlog=_BACKLOG)
        else:
            self._listening = await loop.create_server(connection, sock=sock, backlog=_BACKLOG)

    async def stop(self, grace: float) -> None:
        """Accepts no new connections, answers the requests that arrive within `grace` seconds, then closes."""
        if self._listening is not None:
            self._listening.close()
        for connection in tuple(self._connections):
            connection.close_when_idle()
        if self._connections:
            waits = [connection.closed for connection in self._connections]
            await asyncio.wait(waits, timeout=grace)
        for connection in tuple(self._connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    def __init__(
        self, handler: Handler, reader: RequestReader, upgrades: Upgrades, connections: set[_Connection]
    ) -> None:
        self._handler = handler
        self._reader = reader
        self._upgrades = upgrades
        self._session: UpgradedConnection | None = None
        self._connections = connections
        self._last = False
        self._answering: asyncio.Task[None] | None = None
        #: Bytes received while an answer was not ready.
        self._arrived = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._answering is not None:
            self._answering.cancel()
        if self._session is not None:
            self._session.close()
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._session is not None:
            self._converse(self._session, data)
            return
        if self._answering is not None:
            self._arrived += data
            return
        try:
            request = self._reader.feed(data)
            while request is not None:
                protocol = request.headers.get(b"upgrade", b"")
                if protocol in self._upgrades and not self._last:
                    self._upgrade(protocol)
                    return
                response = self._handler(request)
                if not isinstance(response, Response):
                    # These bytes were sent before `pause_reading` took effect.
                    self._transport.pause_reading()
                    self._answering = asyncio.create_task(self._answer_later(request, response))
                    return
                if not self._answer(request, response):
                    return
                request = self._reader.feed(b"")
        except MalformedHttpError as error:
            self._transport.write(error.response().encode())
            self._transport.close()

    def _answer(self, request: Request, response: Response) -> bool:
        """Returns whether the connection accepts another request."""
        self._transport.write(response.encode(head_only=request.method == "HEAD"))
        if self._last or request.headers.get(b"connection", b"").lower() == b"close":
            self._transport.close()
            return False
        return True

    async def _answer_later(self, request: Request, answering: Awaitable[Response]) -> None:
        goes_on = self._answer(request, await answering)
        self._answering = None
        if goes_on:
            arrived, self._arrived = self._arrived, b""
            self._transport.resume_reading()
            self.data_received(arrived)

    def _upgrade(self, protocol: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: " + protocol + b"\r\n\r\n"
        )
        # It may write at once.
        self._session = self._upgrades[protocol](self._transport.write)
        self._converse(self._session, self._reader.rest)

    def _converse(self, session: UpgradedConnection, data: bytes) -> None:
        try:
            answer = session.receive(data)
        except MalformedFrameError:
            self._transport.abort()
            return
        if answer:
            self._transport.write(answer)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """Reads no more from a peer that does not read its answers."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def close_when_idle(self) -> None:
        self._last = True
        if self._answering is None and (self._reader.idle or self._session is not None):
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
