"""The largest resident memory of each of the gateway's processes over a span of time."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.gateway import roles_below
from bench.processes import descendants

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
_INTERVAL_SECONDS = 0.25

#: Role → its processes.
Roles = Callable[[], Mapping[str, tuple[int, ...]]]


def roles_of(gateway: int, node: int | None) -> dict[str, tuple[int, ...]]:
    """Of the processes below the gateway's and the node's; what a translator has started are its parsers."""
    roles = roles_below(gateway)
    shown = {name: roles.get(name, ()) for name in ("envoy", "translator", "xds_server")}
    # Their command lines look alike, but one has started the others.
    started = {pid for each in shown["translator"] for pid in descendants(each) if pid != each}
    shown["parsers"] = tuple(sorted(started))
    shown["translator"] = tuple(pid for pid in shown["translator"] if pid not in started)
    return shown | {"node": tuple(descendants(node)) if node is not None else ()}


class Peaks:
    """Looks four times a second until the block is left; then `mib`, by role, the sum of its processes."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.mib: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_INTERVAL_SECONDS):
            for role, pids in self._roles().items():
                now = sum(_resident_kib(pid) for pid in pids) / 1024
                self.mib[role] = max(self.mib.get(role, 0.0), now)


def _resident_kib(pid: int) -> int:
    """0 for one that is gone."""
    try:
        found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
