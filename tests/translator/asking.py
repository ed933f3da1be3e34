"""Sends checks to the translator like Envoy's module does, over its socket."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.translator.policies import VALUE
from translator.checks.frames import ASKED, FrameKind
from translator.checks.session import PROTOCOL

CHAT = "/v1/chat/completions"
UPGRADE = b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: " + PROTOCOL + b"\r\n\r\n"


def check(
    number: int,
    body: object,
    *,
    target: str = CHAT,
    method: str = "POST",
    value: str = VALUE,
    kind: FrameKind = FrameKind.WHOLE,
    **headers: str,
) -> bytes:
    """Returns the frame of a check; `body` is sent as JSON unless it is bytes already."""
    sent = {"authorization": f"Bearer {value}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    assert set(sent) <= {name.decode() for name in ASKED}
    head = "\n".join([method, target, *(sent.get(name.decode(), "") for name in ASKED)]).encode("latin-1")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _frame(number, kind, head, content)


def end_notice(number: int, request_id: str) -> bytes:
    """Returns the frame of an end notice, which has no answer."""
    return _frame(number, FrameKind.END, request_id.encode(), b"")


def _frame(number: int, kind: FrameKind, head: bytes, body: bytes) -> bytes:
    return struct.pack("<IQBI", 13 + len(head) + len(body), number, kind, len(head)) + head + body


@dataclass(frozen=True)
class Answer:
    """An answer. `lines` is the head: that of `Allowed`, or headers."""

    number: int
    status: int
    lines: list[str]
    body: bytes

    @property
    def route(self) -> str:
        return self.lines[3]

    @property
    def log_context(self) -> str:
        """Returns the log context."""
        return self.lines[5]

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]


class Peer:
    """An upgraded connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> Peer:
        return await cls.upgrade(*await asyncio.open_unix_connection(str(path)))

    @classmethod
    async def upgrade(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Peer:
        peer = cls(reader, writer)
        try:
            writer.write(UPGRADE)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
        except BaseException:  # the peer may be killed
            await peer.close()
            raise
        return peer

    async def ask(self, checks: Sequence[bytes]) -> list[Answer]:
        """Sends the checks at once. Returns the answers in the order in which they arrive."""
        self._writer.write(b"".join(checks))
        return [await self._answer() for _ in checks]

    async def _answer(self) -> Answer:
        """Returns the next answer. Commands, which have the number 0, are not obeyed."""
        number = 0
        while not number:
            size, number, status, head = struct.unpack("<IQHI", await self._reader.readexactly(18))
            rest = await self._reader.readexactly(size - 14)
        return Answer(number, status, rest[:head].decode("latin-1").split("\n"), rest[head:])

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
