"""A node's connection with its tasks: nothing that a peer sends leaves something open, unbounded or unhandled."""

from __future__ import annotations

import asyncio
from typing import Any

from fuzz.targets._pieces import headed, pieces
from fuzz.targets.http2 import PREFACE
from node_sidecar.http2.exchange import Exchange
from node_sidecar.http2.session import Http2Session

UNDER_TEST = ("node_sidecar.http2.session", "node_sidecar.http2.exchange", "node_sidecar.http2.connection")
#: Bytes that a connection writes before it has read anything; an answer has more.
_GREETING = 100
#: More than a session may ever hold for a peer that reads nothing: 1 MiB, and the answers of the last turn.
_MOST_BUFFERED = 2 * 1024 * 1024


class _Transport(asyncio.Transport):
    """A peer that never reads: all output stays in its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.closing = False
        self.reading = True
        self.high = 1 << 30
        self.protocol: Http2Session | None = None

    def write(self, data: Any) -> None:
        assert not self.closing, "written after the end"
        self.held += len(data)
        if self.held > self.high and self.protocol is not None:
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        self.closing = True

    abort = close


def check(data: bytes) -> bool:
    """Feeds the session, lets its handlers run, and closes the connection."""
    return asyncio.run(_check(data))


async def _check(data: bytes) -> bool:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    seed, text = headed(data)
    session, transport = Http2Session(_echo), _Transport()
    transport.protocol = session
    session.connection_made(transport)
    for piece in pieces(seed or 255, PREFACE + text):
        if transport.closing or not transport.reading:
            break
        session.data_received(piece)
        await asyncio.sleep(0)
        assert session.buffered < _MOST_BUFFERED
    for _ in range(3):
        await asyncio.sleep(0)
    session.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert session.running == 0, "a handler goes on after the connection is gone"
    assert session.closed.done()
    assert session.leaving.done()
    assert not unhandled, unhandled
    return transport.held > _GREETING


async def _echo(exchange: Exchange) -> None:
    exchange.send_head(200, [(b"content-type", b"text/plain")])
    while piece := await exchange.read():
        await exchange.send(piece * 3)
    exchange.end()
