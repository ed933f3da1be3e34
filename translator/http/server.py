"""The transport: asyncio sockets around `RequestReader`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from translator.errors import MalformedHttpError
from translator.http.message import Request, Response
from translator.http.reader import RequestReader

Handler = Callable[[Request], Response]
_BACKLOG = 4096


class Server:
    """Answers every request with `handler`, which is synchronous: all that it needs is in memory."""

    def __init__(self, handler: Handler, max_body: int) -> None:
        self._handler = handler
        self._max_body = max_body
        self._connections: set[_Connection] = set()
        self._listening: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serves on a bound or listening Unix or TCP socket, and closes it at `stop`."""
        loop = asyncio.get_running_loop()

        def connection() -> _Connection:
            return _Connection(self._handler, RequestReader(self._max_body), self._connections)

        if sock.family == socket.AF_UNIX:
            self._listening = await loop.create_unix_server(connection, sock=sock, backlog=_BACKLOG)
        else:
            self._listening = await loop.create_server(connection, sock=sock, backlog=_BACKLOG)

    async def stop(self, grace: float) -> None:
        """Takes no new connection, answers requests that are arriving for `grace` seconds, then closes."""
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
    def __init__(self, handler: Handler, reader: RequestReader, connections: set[_Connection]) -> None:
        self._handler = handler
        self._reader = reader
        self._connections = connections
        self._last = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            request = self._reader.feed(data)
            while request is not None:
                response = self._handler(request)
                self._transport.write(response.encode(head_only=request.method == "HEAD"))
                if self._last or request.headers.get(b"connection", b"").lower() == b"close":
                    self._transport.close()
                    return
                request = self._reader.feed(b"")
        except MalformedHttpError as error:
            self._transport.write(error.response().encode())
            self._transport.close()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """A peer that does not read its answers gets no more of them."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def close_when_idle(self) -> None:
        self._last = True
        if self._reader.idle:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
