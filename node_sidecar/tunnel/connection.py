"""One tunnel: upgrade, idle phase and HTTP/2 on one connection."""

from __future__ import annotations

import asyncio
import ssl

from node_sidecar.errors import TunnelError
from node_sidecar.http2.session import Http2Session
from node_sidecar.tunnel.handshake import Idle, UpgradeAnswer

#: Seconds without a ping after which an idle tunnel counts as dead; Envoy sends one every 2 s.
IDLE_TIMEOUT = 10.0


class TunnelConnection(asyncio.Protocol):
    """Sends `request`. `established` is done (or fails with TunnelError) when the gateway has answered it.

    From the first byte of HTTP/2, the connection belongs to `session`. `leaving` is done when the tunnel will
    bring no more requests, `closed` when the connection has ended.
    """

    def __init__(self, request: bytes, session: Http2Session, *, idle_timeout: float = IDLE_TIMEOUT) -> None:
        self._request = request
        self._session = session
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._answer: UpgradeAnswer | None = UpgradeAnswer()
        self._idle: Idle | None = Idle()
        self._silence: asyncio.TimerHandle | None = None
        self.established: asyncio.Future[None] = self._loop.create_future()

    @property
    def leaving(self) -> asyncio.Future[None]:
        """Done once the connection will bring no more requests."""
        return self._session.leaving

    @property
    def closed(self) -> asyncio.Future[None]:
        """Done once the connection has ended."""
        return self._session.closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            try:
                rest = self._answer.feed(data)
            except TunnelError as error:
                self._fail(error)
                return
            if rest is None:
                return
            self._answer = None
            self._listen()
            if not self.established.done():
                self.established.set_result(None)
            data = rest
        if self._idle is not None and data:
            self._listen()
            echo, begin = self._idle.feed(data)
            if echo:
                self._transport.write(echo)
            if begin:
                self._hand_over(begin)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_listening()
        if not self.established.done():
            self.established.set_exception(TunnelError(_loss(exc)))
        self._session.connection_lost(exc)

    def drain(self) -> None:
        """Closes an idle tunnel; lets a used one finish its running requests."""
        if self._idle is None:
            self._session.drain()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Aborts the connection."""
        self._transport.abort()

    def _fail(self, error: TunnelError) -> None:
        if not self.established.done():
            self.established.set_exception(error)
        self._transport.abort()

    def _hand_over(self, begin: bytes) -> None:
        self._idle = None
        self._stop_listening()
        self._transport.set_protocol(self._session)
        self._session.connection_made(self._transport)
        self._session.data_received(begin)

    def _listen(self) -> None:
        self._stop_listening()
        self._silence = self._loop.call_later(self._idle_timeout, self._transport.abort)

    def _stop_listening(self) -> None:
        if self._silence is not None:
            self._silence.cancel()


def _loss(exc: Exception | None) -> str:
    """Explains why there was no answer. In TLS 1.3 the refusal of a client certificate arrives after the
    handshake.
    """
    if isinstance(exc, ssl.SSLError):
        return f"the gateway does not accept this node's certificate: {exc.reason}"
    return "the gateway closed the connection without an answer; it may be starting"
