"""Envoy's admin interface over one connection, which stays with this Envoy when another takes over its socket's
path.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

_ANSWER_SECONDS = 5.0


class EnvoyAdmin:
    """A context manager. Every error is an OSError: Envoy is gone, or as good as gone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def post(self, path: str) -> None:
        """Sends the command `path`."""
        await self._ask("POST", path)

    async def get(self, path: str) -> str:
        """Returns the body of an answer with status 200."""
        return await self._ask("GET", path)

    async def _ask(self, method: str, path: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._writer.write(
                    f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\n\r\n".encode()
                )
                return await self._answer()
        except (EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError) as error:
            raise ConnectionError(f"{self._path} does not answer to {path}") from error

    async def _answer(self) -> str:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b"transfer-encoding: chunked" in head:
            body = await self._chunks()
        else:
            _, _, length = head.partition(b"content-length: ")
            body = await self._reader.readexactly(int(length.split(b"\r\n")[0]))
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError(head)
        return body.decode()

    async def _chunks(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            pieces.append((await self._reader.readexactly(size + 2))[:-2])
            if not size:
                return b"".join(pieces)
