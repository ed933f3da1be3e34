"""Two requests to the Envoy that writes the log, over its admin socket: to reopen the log, and when it started.

If Envoy is killed, the lines that it had not written and the requests that it was serving are lost. The start of
its successor tells their reservations apart: a reservation from before that start that has no line when the log
has been read to its end will never have one. (There is one Envoy per translator and no hot restart, as in the
design.)
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
        """Returns whether Envoy confirmed that it reopens its logs."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._ask("POST", "/reopen_logs")
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            self._log.warning("Envoy was not asked to reopen its log", reason=str(error))
            return False
        status = _STATUS.match(answer)
        return status is not None and status[1] == b"200"

    async def watch(self, started: Callable[[float], None]) -> None:
        """Calls `started` for every Envoy, with a moment in Unix seconds before which it served nothing; runs for
        ever.

        If the system tells when Envoy's process started, the moment is not earlier than that. So all requests that
        its predecessor let through are recognised, even if the supervisor restarted Envoy quickly.
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
                # Nothing is sent on this connection: it ends with Envoy, or when Envoy closes it as idle.
                await reader.read()
            except OSError:
                pass
            finally:
                writer.close()
            await asyncio.sleep(_RETRY)

    async def _start_by_uptime(self) -> float | None:
        """Returns Envoy's start, up to two seconds early because Envoy reports whole seconds."""
        asked = time.time()
        found = _UPTIME.search(await self._ask("GET", "/server_info"))
        return asked - int(found[1]) - 1 if found else None

    async def _ask(self, method: str, path: str) -> bytes:
        """Returns the whole answer. Raises OSError."""
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            head = f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            writer.write(head.encode())
            return await reader.read()
        finally:
            writer.close()


def _process_start(connection: socket.socket) -> float | None:
    """Returns when the process behind a Unix socket started, in Unix seconds; None if the system does not tell.

    Never early, and at most some 10 ms late, the tick in which Linux counts. Envoy takes 40 ms before it can send
    a check.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
        # The name in the second field may contain anything; the fields are counted from after its closing bracket.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        since_boot = (int(fields[19]) + 1) / os.sysconf("SC_CLK_TCK")
        return _boot() + since_boot
    except (OSError, ValueError, IndexError):
        return None


def _boot() -> float:
    """Returns when the system booted, in Unix seconds: the reading that was interrupted least."""
    readings = []
    for _ in range(5):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        now = time.time()
        readings.append((time.clock_gettime(time.CLOCK_BOOTTIME) - before, now - before))
    return min(readings)[1]
