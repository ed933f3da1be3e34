"""Reads the use of the machine every few seconds, in a thread: a driver that hangs must not stop the reports."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from node_sidecar.use import owner, processes
from node_sidecar.use.gpu import Gpu, GpuReader
from node_sidecar.use.owner import OwnerUse
from node_sidecar.use.processes import CpuMeter, LocalServer, ServerProcesses

#: Seconds between two searches of the process table; a server that started in between counts as the owner's.
_FIND_AGAIN = 10.0


class UseReader:
    """One instance per node; calls must not overlap."""

    def __init__(self, gpus: GpuReader | None = None) -> None:
        self._gpus = gpus or GpuReader()
        self._cpu = CpuMeter()
        self._servers: tuple[LocalServer, ...] = ()
        self._found = ServerProcesses(frozenset(), complete=False)
        self._found_at = float("-inf")

    async def gpus(self) -> tuple[Gpu, ...]:
        return await asyncio.to_thread(self._gpus.read)

    async def owner_use(self, servers: Iterable[tuple[str, str]], gpus: Sequence[Gpu], in_flight: int) -> OwnerUse:
        """Returns the owner's use since the last call. `servers` are URLs and kinds; `gpus` are as read for this
        sample.
        """
        local = tuple(LocalServer(port, kind) for url, kind in servers if (port := local_port(url)) is not None)
        now = asyncio.get_running_loop().time()
        if local != self._servers or now - self._found_at >= _FIND_AGAIN:
            self._servers, self._found_at = local, now
            self._found = await asyncio.to_thread(processes.find, local)
        theirs = self._found
        cpu = self._cpu.measure(theirs.pids)
        busy, separate = owner.gpu_use(gpus, theirs.pids, known=theirs.complete)
        return OwnerUse(
            cpu=None if cpu is None else max(0.0, cpu.total - cpu.theirs),
            gpu=busy,
            gpu_memory_free=owner.memory_free(gpus, theirs.pids),
            separate=separate,
            in_flight=in_flight,
        )


def local_port(url: str) -> int | None:
    """Returns the port of a server on this machine; None for a remote one, which uses no resources here."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    return (parts.port or (443 if parts.scheme == "https" else 80)) if here else None
