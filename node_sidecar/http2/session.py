"""The transport: an asyncio connection around `ServerConnection`, and a task per request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog
from h2.errors import ErrorCodes

from node_sidecar.errors import StreamClosedError
from node_sidecar.http2.connection import ServerConnection
from node_sidecar.http2.events import (
    BodyReceived,
    ConnectionFailed,
    Header,
    Http2Event,
    PeerLeaves,
    PingAnswered,
    RequestReceived,
    StreamReset,
    WindowOpened,
)
from node_sidecar.http2.exchange import Exchange
from node_sidecar.http2.limits import DEFAULT, KIB, Http2Limits

Handler = Callable[[Exchange], Awaitable[None]]

_log = structlog.get_logger(__name__)
#: Above this, answers wait: data that the peer does not read yet stays with the local server.
_WRITE_HIGH = 256 * KIB
#: Above this, reading stops too: only a peer that sends control frames without reading reaches it.
_WRITE_STOP = 1024 * KIB
#: Above this, data is written at once instead of at the end of the event loop's turn. The data of a lone stream is
#: also written at once: nothing else would join it, and waiting would cost another turn.
_FLUSH_AT = 64 * KIB
#: Seconds that closing may take.
_FAREWELL = 2.0
_ALIVE_PING = b"are you?"
_LAST_PING = b"goodbye!"


class Http2Session(asyncio.Protocol):
    """Serves one connection. `leaving` is done when it will bring no more requests, `closed` when it has ended."""

    def __init__(self, handler: Handler, limits: Http2Limits = DEFAULT) -> None:
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._connection = ServerConnection(limits)
        self._exchanges: dict[int, Exchange] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._served: dict[int, int] = {}  # when each stream last sent data, counted in writes
        self._writes = 0
        self._paused = False
        self._reading = True
        self._unflushed = 0
        self._flush_scheduled = False
        self._draining = False
        self._closing = False
        self._last_heard = self._loop.time()
        self._watching: asyncio.TimerHandle | None = None
        self._farewell: asyncio.TimerHandle | None = None
        self.leaving: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        transport.set_write_buffer_limits(high=_WRITE_HIGH)
        self._last_heard = self._loop.time()
        self._watch()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._last_heard = self._loop.time()
        if self._closing:
            return
        for event in self._connection.receive(data, self._last_heard):
            self._dispatch(event)
        self._flush()
        if self._paused and self._reading and self._transport.get_write_buffer_size() > _WRITE_STOP:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()
        self._wake_all()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        for timer in (self._watching, self._farewell):
            if timer is not None:
                timer.cancel()
        for exchange in self._exchanges.values():
            exchange.closed = True
        for task in self._tasks.values():
            task.cancel()
        self._leave()
        self.closed.set_result(None)

    # Called by the owner

    @property
    def running(self) -> int:
        """The number of requests being answered."""
        return len(self._exchanges)

    @property
    def buffered(self) -> int:
        """The bytes that the peer has not read yet; bounded in any case."""
        return self._transport.get_write_buffer_size()

    def drain(self) -> None:
        """Accepts no new request, finishes the running ones, then closes."""
        if self._draining or self._closing:
            return
        self._draining = True
        self._connection.drain()
        self._flush()
        self._leave()
        self._close_if_done()

    def abort(self) -> None:
        """Aborts the connection."""
        self._transport.abort()

    # Called by exchanges

    def send_head(self, stream_id: int, status: int, headers: Iterable[Header], *, end: bool) -> None:
        self._connection.send_head(stream_id, status, headers, end=end)
        self._flush_soon()

    def write(self, stream_id: int, data: bytes | memoryview) -> int:
        if self._paused:
            return 0
        room = self._connection.room(stream_id)
        if room <= 0:
            return 0
        sent = self._connection.send_data(stream_id, data, room)
        self._unflushed += sent
        self._writes += 1
        self._served[stream_id] = self._writes
        if self._unflushed >= _FLUSH_AT or len(self._exchanges) == 1:
            self._flush()
        else:
            self._flush_soon()
        return sent

    async def writable(self, stream_id: int) -> None:
        waiter = self._waiting[stream_id] = self._loop.create_future()
        try:
            await waiter
        finally:
            if self._waiting.get(stream_id) is waiter:
                del self._waiting[stream_id]

    def end(self, stream_id: int) -> None:
        self._connection.send_end(stream_id)
        self._flush_soon()

    def acknowledge(self, stream_id: int, size: int) -> None:
        self._connection.acknowledge(stream_id, size)
        self._flush_soon()

    # The rest

    def _dispatch(self, event: Http2Event) -> None:
        match event:
            case BodyReceived():
                self._body_arrived(event)
            case WindowOpened(0):
                self._wake_all()
            case WindowOpened(stream_id):
                self._wake(self._waiting.pop(stream_id, None))
            case RequestReceived(stream_id, head, ended):
                self._begin(Exchange(stream_id, head, self, body_ended=ended))
            case StreamReset(stream_id):
                self._cancel(stream_id)
            case PingAnswered(data) if data == _LAST_PING:
                self._close()
            case PeerLeaves():
                self._draining = True
                self._leave()
                self._close_if_done()
            case ConnectionFailed(reason):
                _log.warning("http2_connection_failed", reason=reason)
                self._flush()
                self._close()

    def _begin(self, exchange: Exchange) -> None:
        self._exchanges[exchange.stream_id] = exchange
        task = self._tasks[exchange.stream_id] = self._loop.create_task(self._answer(exchange))
        # Not in the task itself: a task that is cancelled before its start does not run at all.
        task.add_done_callback(lambda _: self._finish(exchange))

    def _body_arrived(self, event: BodyReceived) -> None:
        exchange = self._exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.body_arrived(event.data, event.size, ended=event.ended)
        elif event.size:
            self._connection.acknowledge(event.stream_id, event.size)

    def _cancel(self, stream_id: int) -> None:
        exchange = self._exchanges.get(stream_id)
        if exchange is not None:
            exchange.closed = True
            self._tasks[stream_id].cancel()

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._handler(exchange)
        except StreamClosedError:
            pass
        except Exception as error:  # noqa: BLE001 - after any error the stream is reset and the others continue
            _log.error("request_failed", error=type(error).__name__)

    def _finish(self, exchange: Exchange) -> None:
        stream_id = exchange.stream_id
        del self._exchanges[stream_id]
        del self._tasks[stream_id]
        self._served.pop(stream_id, None)
        if self._closing:
            return
        if size := exchange.unread():
            self._connection.acknowledge(stream_id, size)
        if not exchange.closed:
            if not exchange.ended:
                self._connection.reset(stream_id, ErrorCodes.INTERNAL_ERROR)
            elif not exchange.body_ended:
                # The answer stands without the rest of the request (RFC 9113 section 8.1).
                self._connection.reset(stream_id, ErrorCodes.NO_ERROR)
        self._flush_soon()
        self._close_if_done()

    def _wake_all(self) -> None:
        """Wakes all waiting streams, the longest-waiting first: otherwise a short window would always go to the
        same one.
        """
        waiting, self._waiting = self._waiting, {}
        for stream_id in sorted(waiting, key=lambda stream_id: self._served.get(stream_id, 0)):
            self._wake(waiting[stream_id])

    @staticmethod
    def _wake(waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _flush_soon(self) -> None:
        """Sends all output of one turn of the event loop in one write."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._unflushed = 0
        if (data := self._connection.output()) and not self._transport.is_closing():
            self._transport.write(data)

    def _watch(self) -> None:
        """Pings a silent peer, and aborts the connection if it stays silent."""
        silent = self._loop.time() - self._last_heard
        if silent >= self._limits.dead_after:
            _log.warning("gateway_silent", seconds=round(silent, 1))
            self._transport.abort()
            return
        if silent >= self._limits.ping_after and not self._closing:
            self._connection.ping(_ALIVE_PING)
            self._flush()
        self._watching = self._loop.call_later(self._limits.ping_after, self._watch)

    def _leave(self) -> None:
        if not self.leaving.done():
            self.leaving.set_result(None)

    def _close_if_done(self) -> None:
        """Closes once the peer has read the last answer; data that it sends in the meantime would turn the close
        into a reset.
        """
        if self._draining and not self._exchanges and not self._closing:
            self._connection.ping(_LAST_PING)
            self._flush_soon()
            self._farewell = self._loop.call_later(_FAREWELL, self._close)

    def _close(self) -> None:
        if not self._closing:
            self._closing = True
            self._leave()
            for task in self._tasks.values():
                task.cancel()
            self._transport.close()
            if self._farewell is not None:
                self._farewell.cancel()
            self._farewell = self._loop.call_later(_FAREWELL, self._transport.abort)
