"""Bounds how many bytes of large responses gRPC holds: it copies each response and keeps it until the client
reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Bytes up to which a response is written at once. A response that can be divided is smaller than this.
SMALL = 1280 * 1024
#: Bytes of large responses per peer. A single response is sent in any case.
_ROOM = 32 * 1024 * 1024


class ResponseBuffers:
    """Two buffers for each peer: one for its clients that have answered before, and one for those that have not.

    A client that does not read occupies only its own buffer.
    """

    def __init__(self, *, small: int = SMALL, room: int = _ROOM) -> None:
        self._small = small
        self._room = room
        self._buffers: dict[tuple[str, bool], _ResponseBuffer] = {}

    @asynccontextmanager
    async def reserved(self, peer: str, size: int, *, answers: bool) -> AsyncIterator[None]:
        """Reserves room while a response of `size` bytes is with gRPC; waits for its turn if there is no room."""
        if size <= self._small:
            yield
            return
        buffer = self._buffers.setdefault((peer, answers), _ResponseBuffer(self._room))
        try:
            await buffer.enter(size)
            try:
                yield
            finally:
                buffer.leave(size)
        finally:
            if buffer.empty:
                self._buffers.pop((peer, answers), None)


class _ResponseBuffer:
    def __init__(self, room: int) -> None:
        self._room = room
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def empty(self) -> bool:
        return not self._used and not self._waiting

    async def enter(self, size: int) -> None:
        if not self._waiting and self._fits(size):
            self._used += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            else:
                self._waiting.remove((size, turn))
                self._admit()
            raise

    def leave(self, size: int) -> None:
        self._used -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._used += size
                turn.set_result(None)

    def _fits(self, size: int) -> bool:
        return not self._used or self._used + size <= self._room
