"""Sends large bodies that arrive slowly and never end: 60 connections, half of them HTTP/2 with many streams
each.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from bench.neighbours.scene import PLAIN, Prey

CONNECTIONS, STREAMS = 60, 20
#: Bytes sent on each connection in total; the stated length of a body, which is more than is sent.
BYTES = 24 * 1024 * 1024
_PIECE = 16 * 1024
#: Seconds after which an answered connection starts again.
_REST_SECONDS = 0.5
_BEGINNING = b'{"model":"%b","messages":[{"role":"user","content":"' % PLAIN.encode()


async def without_key(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    await _flood(prey, outcomes, "")


async def with_key(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    await _flood(prey, outcomes, prey.key)


async def _flood(prey: Prey, outcomes: Counter[str], key: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(max(2, round(CONNECTIONS * prey.scale))):
            tasks.create_task(_again(prey, outcomes, key, number % 2 == 1))


async def _again(prey: Prey, outcomes: Counter[str], key: str, http2: bool) -> None:
    """Opens one connection after another."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", prey.port)
        except OSError:
            outcomes["not connected"] += 1
        else:
            connection = _Http2(reader, writer) if http2 else _Http1(reader, writer)
            try:
                await connection.flood(prey, key, outcomes)
            except (OSError, asyncio.IncompleteReadError):
                outcomes["closed"] += 1
            finally:
                writer.close()
        await asyncio.sleep(_REST_SECONDS)


def _pause(prey: Prey) -> float:
    """Returns the seconds between two pieces of a connection, so that its bytes last for most of the attack."""
    return 0.6 * prey.seconds * _PIECE / BYTES


class _Http1:
    """One request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def flood(self, prey: Prey, key: str, outcomes: Counter[str]) -> None:
        """Sends until the request is answered."""
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {BYTES}\r\n"
        head += "content-type: application/json\r\n" + (f"authorization: Bearer {key}\r\n" if key else "")
        self._writer.write(head.encode() + b"\r\n" + _BEGINNING)
        answer = asyncio.ensure_future(self._reader.readline())
        try:
            for _ in range((BYTES - len(_BEGINNING)) // _PIECE):
                if answer.done():
                    break
                self._writer.write(b"a" * _PIECE)
                await asyncio.wait([answer], timeout=_pause(prey))
                await self._writer.drain()
            status = (await answer)[9:12].decode()
            outcomes[status or "closed"] += 1
        finally:
            answer.cancel()


class _Http2:
    """Many requests in turn."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._open: set[int] = set()

    async def flood(self, prey: Prey, key: str, outcomes: Counter[str]) -> None:
        """Sends until every request is answered."""
        self._h2.initiate_connection()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", "/v1/chat/completions"),
        ]
        headers += [("content-type", "application/json"), ("content-length", str(BYTES // 2))]
        for _ in range(STREAMS):
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream, [*headers, *([("authorization", f"Bearer {key}")] if key else [])])
            self._open.add(stream)
        self._flush()
        reading = asyncio.ensure_future(self._read(outcomes))
        try:
            for stream in itertools.cycle(range(1, 2 * STREAMS, 2)):
                if reading.done() or not self._open:
                    break
                with suppress(h2.exceptions.H2Error):
                    room = self._h2.local_flow_control_window(stream)
                    size = min(room, _PIECE, self._h2.max_outbound_frame_size)
                    if stream in self._open and size > 0:
                        self._h2.send_data(stream, b"a" * size)
                        self._flush()
                await asyncio.wait([reading], timeout=_pause(prey))
                await self._writer.drain()
            await reading
        finally:
            reading.cancel()

    async def _read(self, outcomes: Counter[str]) -> None:
        while self._open:
            data = await self._reader.read(65_536)
            if not data:
                outcomes["closed"] += len(self._open)
                return
            try:
                events = self._h2.receive_data(data)
            except h2.exceptions.H2Error:
                outcomes["broken"] += len(self._open)
                return
            for event in events:
                self._note(event, outcomes)
            self._flush()

    def _note(self, event: h2.events.Event, outcomes: Counter[str]) -> None:
        match event:
            case h2.events.ResponseReceived():
                outcomes[_status(event)] += 1
                self._open.discard(event.stream_id or 0)
            case h2.events.StreamReset() if event.stream_id in self._open:
                outcomes["reset"] += 1
                self._open.discard(event.stream_id or 0)

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())


def _status(event: h2.events.ResponseReceived) -> str:
    """Returns `:status`, which is text because the connection decodes its headers."""
    return next(str(value) for name, value in event.headers or [] if str(name) == ":status")
