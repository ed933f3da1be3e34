"""Lines as Envoy writes them, the file that has them, and its admin socket."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from translator import log_context
from translator.limits import Reservation

START = 1_790_000_000


def reservation(request_id: str, **fields: object) -> Reservation:
    """Returns a reservation of 100 tokens, 12 of them the prompt's, and 500,000 nano-USD, changed by `fields`."""
    whose = ("org_acme", "key_ci", "rt_gpt", "gpt-4.1")
    made = Reservation(request_id, START + 0.00025, *whose, 100, 500_000, 12, stream=False, user="", tag="")
    return replace(made, **fields)


def noted(reserved: Reservation, model: str = "") -> str:
    """Returns the log context; `model` is the reservation's, percent-encoded where needed."""
    whose = (reserved.organisation, reserved.key, reserved.route)
    return log_context.written(reserved, log_context.parties(*whose, model or reserved.model))


def request_line(request_id: str, reserved: Reservation | None = None, /, **fields: object) -> bytes:
    """Returns the line of a plain answer of 200 with 10 + 5 tokens, changed by `fields`; without `reserved`, of
    what `reservation` returns.
    """
    reserved = reserved or reservation(request_id)
    line: dict[str, Any] = {
        "v": 2,
        "note": noted(reserved),
        "target": "openai/gpt-4.1",
        "node": None,
        "failed": None,
        "attempts": 1,
        "status": 200,
        "flags": None,
        "bytes_in": 300,
        "bytes_out": 800,
        "first_byte_us": 1000,
        "duration_ms": 2,
        "usage": '{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}',
        "events": None,
    }
    return json.dumps(line | fields).encode() + b"\n"


class EnvoyLog:
    """Appends to `path`, and reopens it on a request to the admin socket.

    Like Envoy, which writes complete lines at once, it reopens between two lines, never within one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._within_line = self._wants_reopening = False
        self.reopened = 0

    def write(self, data: bytes) -> None:
        """Appends a line, or a piece of one; further data belongs to it until its line end."""
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(self._descriptor, data)
        self._within_line = not data.endswith(b"\n") if data else self._within_line
        if self._wants_reopening and not self._within_line:
            self.reopen()

    def reopen(self) -> None:
        self._wants_reopening = self._within_line
        if self._within_line:
            return
        self.close()
        self.write(b"")
        self.reopened += 1

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def serve_admin(self, path: Path) -> asyncio.Server:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                if line.startswith(b"POST /reopen_logs "):
                    self.reopen()
                if line == b"\r\n":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nOK\n")
                    break
            writer.close()

        return await asyncio.start_unix_server(answer, path)
