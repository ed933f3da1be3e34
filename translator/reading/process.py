"""One process that reads bodies, as its parent sees it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import translator
from translator.endpoints import Endpoint
from translator.errors import ReadingError
from translator.reading import wire
from translator.reading.wire import Result

#: Seconds for a new process to become ready, even on a very busy machine.
_START = 30.0
#: Seconds for one body, including those in which other processes have the processor.
_READING = 8.0
#: Where the process finds this package; it finds the rest like any Python of this environment.
_ROOT = Path(translator.__file__).parents[1]


class ReadingProcess:
    """Reads one body at a time. It must be closed in the end, and after every error."""

    def __init__(self, cpu: float) -> None:
        """Starts the process, which a body that takes `cpu` seconds ends. Raises OSError if it cannot be
        started.
        """
        self._sock, child_socket = socket.socketpair()
        self._sock.setblocking(False)
        try:
            # -P: import nothing from the working directory. The process has a session of its own: Ctrl-C is for
            # its parent.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "translator.reading.worker", str(os.getpid()), str(cpu)],
                stdin=child_socket.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": str(_ROOT)},
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            self._sock.close()
            raise
        finally:
            child_socket.close()
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ready(self) -> None:
        """Waits until the process is ready. Raises ReadingError if it cannot start."""
        if self._ready:
            return
        try:
            async with asyncio.timeout(_START):
                began = await self._received(len(wire.READY)) == wire.READY
        except TimeoutError:
            raise ReadingError("it takes too long to start") from None
        except (OSError, EOFError):
            began = False
        if not began:
            raise ReadingError("it did not start")
        self._ready = True

    async def read(self, endpoint: Endpoint, content_type: bytes, body: Sequence[bytes]) -> Result | None:
        """Returns the result for a body in pieces; None if the process ended while reading it, or must be
        ended.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_READING):
                await loop.sock_sendall(self._sock, wire.task(endpoint, content_type, sum(map(len, body))))
                for piece in body:
                    await loop.sock_sendall(self._sock, piece)
                    await asyncio.sleep(
                        0
                    )  # even if the process accepts everything at once, other tasks run in between
                (size,) = wire.SIZE.unpack(await self._received(wire.SIZE.size))
                if size > wire.LONGEST_RESULT:
                    return None
                return wire.decode(await self._received(size))
        except (TimeoutError, OSError, ValueError, EOFError):
            return None

    async def _received(self, size: int) -> bytes:
        """Returns exactly `size` bytes. Raises EOFError, OSError."""
        data = b""
        while len(data) < size:
            piece = await asyncio.get_running_loop().sock_recv(self._sock, size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def has_ended(self) -> bool:
        """True if the process has ended by itself."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Kills the process; call `wait` afterwards."""
        self._sock.close()
        self._process.kill()

    async def wait(self) -> None:
        """Waits until the process is gone and its memory is free."""
        await asyncio.to_thread(self._process.wait)
