"""Determines the memory that Envoy may use, and the bounds that follow from it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trunkline.errors import UsageError

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB
_UNITS = {"MiB": _MIB, "GiB": _GIB}
#: Envoy without any request uses about 60 MiB.
_LEAST = 256 * _MIB
#: The maximum body of a request, by the control plane's default.
_LONGEST_BODY = 32 * _MIB
#: Bytes of the heap for each connection with its buffers.
_OF_A_CONNECTION = 64 * _KIB


@dataclass(frozen=True, slots=True)
class EnvoyMemory:
    """Bounds in bytes, derived from `heap`, at which Envoy refuses requests. The bounds on bodies are well below
    it: a body is copied once while it is checked, and answers need room too.
    """

    heap: int

    @property
    def all_bodies(self) -> int:
        """The bound on bodies of all requests in flight."""
        return min(_GIB, self.heap // 4)

    @property
    def bodies_of_a_key(self) -> int:
        """The bound on bodies of one API key's requests, at least one maximum body."""
        return max(_LONGEST_BODY, min(256 * _MIB, self.all_bodies // 4))

    @property
    def unchecked_bodies(self) -> int:
        """The bound on bodies of all requests whose API key is not checked yet."""
        return min(32 * _MIB, self.heap // 16)

    def connections(self, files: int) -> int:
        """Returns the maximum number of client connections for a process that may open `files` files: each may
        need a connection to a target too.
        """
        return max(1, min(files // 2, self.heap // _OF_A_CONNECTION))


def parse(text: str | None) -> EnvoyMemory:
    """Reads `--envoy-memory`; without it, half of the machine's memory. Raises UsageError."""
    if text is None:
        return EnvoyMemory(max(_LEAST, available() // 2))
    match = re.fullmatch(r"([1-9]\d{0,5})(MiB|GiB)", text)
    heap = int(match[1]) * _UNITS[match[2]] if match else 0
    if heap < _LEAST:
        raise UsageError(f"--envoy-memory {text}: expected a size of 256MiB or more, for example 512MiB or 4GiB")
    return EnvoyMemory(heap)


def available(root: Path = Path("/")) -> int:
    """Returns the bytes of memory of this machine, or of its control group's limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """Returns the limits of this process's control groups (cgroups(7)); none if the system has no control
    groups.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        # In a container the path may be the host's, of which only the base is visible.
        for directory in (group, *group.parents):
            if directory.is_relative_to(base):
                yield from _number(directory / name)


def _number(file: Path) -> Iterator[int]:
    try:
        yield int(file.read_text())
    except (OSError, ValueError):  # `max` is no limit
        return
