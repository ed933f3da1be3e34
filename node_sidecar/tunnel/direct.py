"""The TLS listener of direct nodes, for the gateway only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from node_sidecar.errors import TunnelError
from node_sidecar.http2.limits import DEFAULT, Http2Limits
from node_sidecar.http2.session import Handler, Http2Session
from node_sidecar.tunnel.tls import (
    HANDSHAKE_TIMEOUT,
    SHUTDOWN_TIMEOUT,
    ContextFactory,
    check_gateway,
    server_context,
)

_log = structlog.get_logger(__name__)
#: An Envoy has one connection per worker. The bound keeps strangers from exhausting the process with half-open
#: ones.
_MAX_CONNECTIONS = 256


class DirectListener:
    """Serves peers with the gateway's certificate, until `run` is cancelled."""

    def __init__(
        self, address: tuple[str, int], tls: ContextFactory, handler: Handler, *, limits: Http2Limits = DEFAULT
    ) -> None:
        self._address = address
        self._tls = tls
        self._handler = handler
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._draining = False
        self._changed = asyncio.Event()
        self._arriving: set[asyncio.Task[None]] = set()
        self._sessions: set[Http2Session] = set()

    @property
    def connected(self) -> int:
        """The number of the gateway's connections."""
        return len(self._sessions)

    @property
    def port(self) -> int:
        """The port of the listener."""
        return self._address[1]

    async def start(self) -> None:
        """Binds. Raises OSError."""
        loop = asyncio.get_running_loop()
        host, port = self._address
        self._server = await loop.create_server(lambda: _Arrival(self._arrived), host, port)
        self._address = (host, self._server.sockets[0].getsockname()[1])

    def drain(self) -> None:
        """Accepts no new requests: connections finish running ones and close. `drained` waits for the end."""
        self._draining = True
        self._changed.set()
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in tuple(self._sessions):
            session.drain()

    def resume(self) -> None:
        """Listens again after `drain`."""
        self._draining = False
        self._changed.set()

    async def drained(self) -> None:
        """Returns when no connection is left; use it after `drain`."""
        while self._sessions:
            await asyncio.wait([session.closed for session in self._sessions])
            await asyncio.sleep(0)  # lets the callbacks that count connections run first

    async def run(self) -> None:
        """Never returns; cancel it to end everything at once. Raises OSError if it cannot bind."""
        try:
            while True:
                self._changed.clear()
                if self._server is None and not self._draining:
                    await self.start()
                await self._changed.wait()
        finally:
            if self._server is not None:
                self._server.close()
                self._server = None
            for task in self._arriving:
                task.cancel()
            for session in self._sessions:
                session.abort()

    def _arrived(self, transport: asyncio.Transport, arrival: _Arrival) -> None:
        if len(self._arriving) + len(self._sessions) >= _MAX_CONNECTIONS:
            transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._receive(transport, arrival))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _receive(self, transport: asyncio.Transport, arrival: _Arrival) -> None:
        """Starts TLS explicitly, because the certificate may have been renewed since the last connection."""
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                arrival,
                server_context(self._tls),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
            )
        except OSError as error:
            transport.abort()
            _log.warning("direct_connection_refused", reason=str(error) or type(error).__name__)
            return
        if secured is None or secured.is_closing():  # the peer left during the handshake
            return
        try:
            check_gateway(secured)
        except TunnelError as error:
            secured.abort()
            _log.warning("direct_connection_refused", reason=str(error))
            return
        session = Http2Session(self._handler, self._limits)
        self._sessions.add(session)
        session.closed.add_done_callback(lambda _: self._sessions.discard(session))
        secured.set_protocol(session)
        session.connection_made(secured)
        if arrival.early:
            session.data_received(bytes(arrival.early))
        if self._draining:
            session.drain()


class _Arrival(asyncio.Protocol):
    """A connection that is not read before TLS, and until its session takes over."""

    def __init__(self, arrived: Callable[[asyncio.Transport, _Arrival], None]) -> None:
        self._arrived = arrived
        self.early = bytearray()  # data that arrived with the end of the TLS handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        transport.pause_reading()
        self._arrived(transport, self)

    def data_received(self, data: bytes) -> None:
        self.early += data
