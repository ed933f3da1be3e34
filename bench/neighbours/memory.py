"""Measures the peak resident memory of each of the gateway's processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.gateway import roles_below
from bench.neighbours.meanwhile import Meanwhile
from bench.processes import descendants

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
_INTERVAL_SECONDS = 0.25

#: Role → its processes.
Roles = Callable[[], Mapping[str, tuple[int, ...]]]


def roles_of(gateway: int, node: int | None) -> dict[str, tuple[int, ...]]:
    """Returns the role of the processes below the gateway's and the node's; a translator's children are its
    parsers.
    """
    roles = roles_below(gateway)
    shown = {name: roles.get(name, ()) for name in ("envoy", "translator", "xds_server")}
    # Their command lines are similar, but one has started the others.
    started = {pid for each in shown["translator"] for pid in descendants(each) if pid != each}
    shown["parsers"] = tuple(sorted(started))
    shown["translator"] = tuple(pid for pid in shown["translator"] if pid not in started)
    return shown | {"node": tuple(descendants(node)) if node is not None else ()}


class Peaks(Meanwhile):
    """Samples four times a second until the block is left; then `mib` has, by role, the sum of its processes."""

    def __init__(self, roles: Roles) -> None:
        super().__init__()
        self._roles = roles
        self.mib: dict[str, float] = {}

    def run(self) -> None:
        while not self.over.wait(_INTERVAL_SECONDS):
            for role, pids in self._roles().items():
                now = sum(_resident_kib(pid) for pid in pids) / 1024
                self.mib[role] = max(self.mib.get(role, 0.0), now)


def _resident_kib(pid: int) -> int:
    """Returns the resident memory of a process; 0 if it has ended."""
    try:
        found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0
