"""The end of a gateway as its clients see it: no new connection, what runs may finish, what does not is cut off.

Envoy does the work, asked by its admin interface; it closes each connection behind the answer that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

_ANSWER_SECONDS = 2.0
_POLL_SECONDS = 0.1
#: Of the clients' listener alone: operators go on seeing how the drain goes.
_DRAIN = ("/drain_listeners?inboundonly&graceful&skip_exit", "/drain_listeners?inboundonly")
_ACTIVE = "/stats?filter=^http\\.openai\\.downstream_rq_active$"


async def drain(envoy_admin: Path, seconds: float, hurry: asyncio.Event, notice: Callable[[str], None]) -> None:
    """Has Envoy take no new client, and returns once no request runs, after `seconds`, or on `hurry`.

    An Envoy that does not answer has nothing left to wait for.
    """
    try:
        for path in _DRAIN:
            await _ask(envoy_admin, "POST", path)
        running = await _active(envoy_admin)
        if running:
            notice(f"{_requests(running)} may run for {seconds:g} s more (again: at once)")
        deadline = asyncio.get_running_loop().time() + seconds
        while running and not hurry.is_set() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            running = await _active(envoy_admin)
        if running:
            notice(f"{_requests(running)} cut off")
    except (OSError, EOFError, ValueError, TimeoutError):
        return


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{number} requests"


async def _active(envoy_admin: Path) -> int:
    """How many requests of clients are running."""
    answer = await _ask(envoy_admin, "GET", _ACTIVE)
    _, _, value = answer.partition(": ")
    return int(value) if value else 0


async def _ask(envoy_admin: Path, method: str, path: str) -> str:
    """The body of the answer. Raises OSError, EOFError, ValueError or TimeoutError where there is none."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        reader, writer = await asyncio.open_unix_connection(envoy_admin)
        try:
            head = f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(head.encode())
            answered, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    if not answered.startswith(b"HTTP/1.1 200 "):
        raise ValueError(answered.partition(b"\r\n")[0])
    if b"transfer-encoding: chunked" in answered.lower():
        return _joined(body).decode()
    return body.decode()


def _joined(chunked: bytes) -> bytes:
    """A chunked body in one piece. Raises ValueError."""
    pieces: list[bytes] = []
    while True:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return b"".join(pieces)
        pieces.append(rest[:length])
        chunked = rest[length + 2 :]
