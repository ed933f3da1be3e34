"""What is asked of the Envoy that writes the log, over its admin socket: to reopen it, and since when it runs.

An Envoy that was killed takes with it the lines that it had not written and the requests that it was serving.
Their reservations are told from those of its successor by its start: what was reserved before the Envoy that
serves now began, and has no line once the log has been read to its end, will never have one. (One Envoy per
translator, no hot restart: as in the design.)
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from structlog.typing import FilteringBoundLogger

_TIMEOUT = 5.0
_RETRY = 0.25
_UPTIME = re.compile(rb'"uptime_current_epoch":\s*"([0-9]+)s"')
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")


class EnvoyAdmin:
    """The admin interface on the Unix socket `path`."""

    def __init__(self, path: Path, log: FilteringBoundLogger) -> None:
        self._path = path
        self._log = log

    async def reopen_logs(self) -> bool:
        """Whether Envoy said that it will."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._ask("POST", "/reopen_logs")
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            self._log.warning("Envoy was not asked to reopen its log", reason=str(error))
            return False
        status = _STATUS.match(answer)
        return status is not None and status[1] == b"200"

    async def watch(self, started: Callable[[float], None]) -> None:
        """For ever: calls `started` for every Envoy, with a moment in Unix seconds before which it served nothing.

        Where the system tells the start of its process, that moment is not before it: what its predecessor let
        through until it was killed is told apart entirely, also when the supervisor was quick.
        """
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                await asyncio.sleep(_RETRY)
                continue
            try:
                begun = _process_start(writer.get_extra_info("socket"))
                if begun is None:
                    async with asyncio.timeout(_TIMEOUT):
                        begun = await self._start_by_uptime()
                if begun is not None:
                    started(begun)
                # Nothing is asked on this connection: it ends with Envoy, or when Envoy finds it idle too long.
                await reader.read()
            except OSError:
                pass
            finally:
                writer.close()
            await asyncio.sleep(_RETRY)

    async def _start_by_uptime(self) -> float | None:
        """Up to two seconds early: Envoy tells whole ones."""
        asked = time.time()
        found = _UPTIME.search(await self._ask("GET", "/server_info"))
        return asked - int(found[1]) - 1 if found else None

    async def _ask(self, method: str, path: str) -> bytes:
        """The whole answer. Raises OSError."""
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            head = f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(head.encode())
            return await reader.read()
        finally:
            writer.close()


def _process_start(connection: socket.socket) -> float | None:
    """When the process behind a Unix socket began, in Unix seconds; None where the system does not say.

    Never early, and some 10 ms late at most, the tick in which Linux counts. Envoy takes 40 ms before it can ask
    about a request.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
        # The name in the second field may hold anything; the fields are counted from behind its bracket.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        since_boot = (int(fields[19]) + 1) / os.sysconf("SC_CLK_TCK")
        return _boot() + since_boot
    except (OSError, ValueError, IndexError):
        return None


def _boot() -> float:
    """When the system was booted, in Unix seconds: of a few readings the one that was interrupted least."""
    readings = []
    for _ in range(5):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        now = time.time()
        readings.append((time.clock_gettime(time.CLOCK_BOOTTIME) - before, now - before))
    return min(readings)[1]
