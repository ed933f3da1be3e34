"""The gateway's tunnel listener, like Envoy's: TLS, the upgrade, pings while idle, then HTTP/2."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

from tests.node_sidecar.support.peer import Peer
from tests.ports import ReservedPort

PING = b"RPING"


class Tunnel:
    """A tunnel that a node has opened."""

    def __init__(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer

    async def ping(self) -> bytes:
        """Sends a ping. Returns the echo."""
        self.writer.write(PING)
        return await self.reader.readexactly(len(PING))

    async def use(self, *, window: int = 1 << 20, acknowledges: bool = True, reads: bool = True) -> Peer:
        """Switches to HTTP/2, because the first request is about to come."""
        peer = Peer(self.reader, self.writer, window=window, acknowledges=acknowledges)
        await peer.start(reads=reads)
        return peer

    def abort(self) -> None:
        self.writer.transport.abort()


class Gateway:
    """Listens on a loopback port, which survives `stop` and `start`. `status` is the answer to upgrades."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._server: asyncio.Server | None = None
        self._tunnels: asyncio.Queue[Tunnel] = asyncio.Queue()
        self._all: list[Tunnel] = []
        self.status = "101 Switching Protocols"
        self.attempts = 0
        self._reserved = ReservedPort()
        self.port = self._reserved.number

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def tunnel(self) -> Tunnel:
        """Returns the next tunnel that a node opens."""
        return await self._tunnels.get()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._context)

    def stop(self) -> None:
        """Stops as if the process were killed."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for tunnel in self._all:
            tunnel.abort()
        self._all.clear()

    async def __aenter__(self) -> Gateway:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            if not self.status.startswith("101"):
                writer.close()
                return
            tunnel = Tunnel(request, reader, writer)
            self._all.append(tunnel)
            self._tunnels.put_nowait(tunnel)
