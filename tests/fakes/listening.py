"""A listening port that can refuse connections, or drop their SYNs, and listen again on the same number."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable


class Port:
    """A loopback TCP port; `closed` keeps the number bound, so that no other process takes it."""

    def __init__(self, port: int, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._protocol = protocol
        self._socket = self._bind(port)
        self.number: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._fillers: list[socket.socket] = []

    async def listen(self) -> None:
        """Accepts connections."""
        if self._server is not None:
            return
        for filler in self._fillers:
            filler.close()
        if self._fillers:
            self._rebind()
            self._fillers = []
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=self._socket, backlog=4096)

    def refuse(self) -> None:
        """Refuses connections: the port is bound, but does not listen."""
        self._stop()

    def drop_syn(self) -> None:
        """Lets connection attempts hang: the accept queue is full, so the kernel drops further SYNs (Linux)."""
        self._stop()
        self._socket.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            code = filler.connect_ex(("127.0.0.1", self.number))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, "could not fill the accept queue")
            self._fillers.append(filler)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        self._rebind()

    def _rebind(self) -> None:
        self._socket.close()
        self._socket = self._bind(self.number)

    @staticmethod
    def _bind(port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.setblocking(False)
        return bound
