"""Keeps a number of tunnels open."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import structlog

from node_sidecar.http2.limits import DEFAULT, Http2Limits
from node_sidecar.http2.session import Handler, Http2Session
from node_sidecar.tunnel.backoff import ReconnectBackoff
from node_sidecar.tunnel.connection import IDLE_TIMEOUT, TunnelConnection
from node_sidecar.tunnel.handshake import upgrade_request
from node_sidecar.tunnel.tls import (
    GATEWAY_NAME,
    HANDSHAKE_TIMEOUT,
    SHUTDOWN_TIMEOUT,
    ContextFactory,
    client_context,
)

_log = structlog.get_logger(__name__)
#: Seconds for TCP and TLS, and for the answer to the upgrade. Together with the longest back-off they are short
#: enough for a node to return within 5 s of its link.
_CONNECT_TIMEOUT = 4.0
_ANSWER_TIMEOUT = 5.0
_LONGEST_BACKOFF = 3.0
#: A tunnel that stayed open this long was a success: the next one is opened quickly.
_LIVED = 5.0
#: Seconds after which fewer tunnels than wanted are enough.
_PATIENCE = 3.0


class Tunnels:
    """`run` keeps `count` tunnels open until it is cancelled, and replaces lost ones."""

    def __init__(
        self,
        address: tuple[str, int],
        tls: ContextFactory,
        handler: Handler,
        *,
        node_id: str,
        count: int = 1,
        limits: Http2Limits = DEFAULT,
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self._address = address
        self._tls = tls
        self._handler = handler
        self._request = upgrade_request(_host_header(*address), node_id)
        self._count = count
        self._limits = limits
        self._idle_timeout = idle_timeout
        self._draining = False
        self._changed = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._connections: set[TunnelConnection] = set()
        self._last_failure = ""
        self._ready = False
        #: Called when `ready` changes.
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def ready(self) -> bool:
        """True if requests can arrive: each of the gateway's workers needs a tunnel.

        It becomes true once all tunnels are open (or some, for a while), and false once none is. It keeps its
        value while draining.
        """
        return self._ready

    @property
    def connected(self) -> int:
        """The number of open tunnels that bring requests."""
        return sum(not connection.leaving.done() for connection in self._connections)

    @property
    def failure(self) -> str:
        """Why the last attempt to open a tunnel failed; empty after a success."""
        return self._last_failure

    def set_count(self, count: int) -> None:
        """Sets how many tunnels to keep open; surplus ones finish their running requests."""
        if count > self._count and self._ready:
            self._ready = False
            self.on_ready()
        self._count = count
        self._watch_ready()
        self._changed.set()

    def drain(self) -> None:
        """Accepts no new requests: tunnels finish running ones and close. `drained` waits for the end."""
        self._draining = True
        self._changed.set()

    def resume(self) -> None:
        """Opens the tunnels again after `drain`."""
        self._draining = False
        self._watch_ready()
        self._changed.set()

    async def drained(self) -> None:
        """Returns when no connection is left; use it after `drain`."""
        while self._keepers or self._connections:
            waits = [*self._keepers, *(connection.closed for connection in self._connections)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # lets the callbacks that count tunnels run first

    async def run(self) -> None:
        """Never returns; cancel it to end everything at once."""
        try:
            while True:
                self._changed.clear()
                wanted = 0 if self._draining else self._count
                while len(self._keepers) < wanted:
                    self._keepers.append(asyncio.create_task(self._keep()))
                surplus = self._keepers[wanted:]
                del self._keepers[wanted:]
                for keeper in surplus:
                    keeper.cancel()
                await self._changed.wait()
        finally:
            for keeper in self._keepers:
                keeper.cancel()
            self._keepers.clear()
            for connection in self._connections:
                connection.abort()

    async def _keep(self) -> None:
        """Keeps one tunnel open, replacing it when it ends. On cancellation the open tunnel drains."""
        loop = asyncio.get_running_loop()
        backoff = ReconnectBackoff(longest=_LONGEST_BACKOFF)
        while True:
            try:
                connection = await self._open()
            except Exception as error:  # noqa: BLE001 - a node that gave up would stay lost
                self._failed(_reason(error))
                await asyncio.sleep(backoff.seconds())
                continue
            self._last_failure = ""
            opened = loop.time()
            try:
                await asyncio.shield(connection.leaving)
            except asyncio.CancelledError:
                connection.drain()
                raise
            if loop.time() - opened >= _LIVED:
                backoff.reset()
            await asyncio.sleep(backoff.seconds())

    async def _open(self) -> TunnelConnection:
        """Raises OSError (TLS included) or TunnelError."""
        loop = asyncio.get_running_loop()
        host, port = self._address

        def tunnel() -> TunnelConnection:
            return TunnelConnection(
                self._request, Http2Session(self._handler, self._limits), idle_timeout=self._idle_timeout
            )

        async with asyncio.timeout(_CONNECT_TIMEOUT):
            _, connection = await loop.create_connection(
                tunnel,
                host,
                port,
                ssl=client_context(self._tls),
                server_hostname=GATEWAY_NAME,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
                happy_eyeballs_delay=0.25,
            )
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                await connection.established
        except BaseException:
            connection.abort()
            raise
        self._connections.add(connection)
        connection.leaving.add_done_callback(lambda _: self._watch_ready())
        connection.closed.add_done_callback(lambda _: self._lost(connection))
        self._watch_ready()
        _log.info("tunnel_open", open=self.connected)
        return connection

    def _watch_ready(self, enough: int = 0) -> None:
        """Updates `ready`; `enough` tunnels suffice, 0 means all wanted ones."""
        connected = self.connected
        ready = connected >= (1 if self._ready else enough or self._count)
        if ready != self._ready and not self._draining:
            self._ready = ready
            self.on_ready()
        if connected and not ready:
            asyncio.get_running_loop().call_later(_PATIENCE, self._watch_ready, 1)

    def _lost(self, connection: TunnelConnection) -> None:
        self._connections.discard(connection)
        _log.info("tunnel_closed", open=self.connected)

    def _failed(self, reason: str) -> None:
        """Logs a reason once, not at every attempt."""
        if reason != self._last_failure:
            self._last_failure = reason
            host, port = self._address
            _log.warning("tunnel_failed", gateway=f"{host}:{port}", reason=reason)


def _host_header(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the gateway does not answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server at this address is not the gateway that this node joined: {error.verify_message}"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at this address: connection refused"
    return str(error) or type(error).__name__
