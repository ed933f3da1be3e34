"""Finds the processes of the local servers, and measures their CPU use and the total."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import psutil

#: The program names of each kind of server. They find processes that the port's holder does not lead to: a server
#: in a container, whose port is held by a proxy; a launcher's workers.
_PROGRAMS = {
    "vllm": ("vllm",),
    "llama.cpp": ("llama-server", "llama_cpp"),
    "ollama": ("ollama",),
    "sglang": ("sglang",),
    "lm-studio": ("lm studio", "lm-studio", "lmstudio"),
    "tgi": ("text-generation-",),
}
#: The number of arguments to examine: `/usr/bin/python3 -m vllm.entrypoints…`, `python3 /opt/bin/vllm serve`.
_ARGUMENTS = 3
#: Programs that hold a port on behalf of another one.
_PROXIES = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "com.docker.backend", "vpnkit", "pasta"})


class LocalServer(NamedTuple):
    """A local server on this machine: the port that it listens on, and its kind (`vllm`, …; empty if unknown)."""

    port: int
    kind: str


@dataclass(frozen=True, slots=True)
class ServerProcesses:
    """The servers' processes by pid, including the sidecar itself. `complete`: each server has at least one
    process.
    """

    pids: frozenset[int]
    complete: bool


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Percent of all CPUs since the last measurement: the total, and that of the servers."""

    total: float
    theirs: float


def find(servers: Iterable[LocalServer]) -> ServerProcesses:
    """Searches all processes. Takes tens of milliseconds, so it must be called in a thread and rarely."""
    processes = list(_processes())
    owners = _port_owners()
    proxies = {each.pid for each in processes if each.names[0] in _PROXIES}
    children: dict[int, list[int]] = {}
    for each in processes:
        children.setdefault(each.parent, []).append(each.pid)
    found: set[int] = set()
    complete = True
    for server in servers:
        programs = _PROGRAMS.get(server.kind, ())
        roots = owners.get(server.port, set()) - proxies
        roots |= {each.pid for each in processes if any(name.startswith(programs) for name in each.names)}
        complete = complete and bool(roots)
        found |= roots
    waiting = list(found)
    while waiting:
        new = [child for child in children.get(waiting.pop(), ()) if child not in found]
        found.update(new)
        waiting += new
    return ServerProcesses(frozenset(found | {os.getpid()}), complete)


class CpuMeter:
    """Measures CPU use between two calls. A process that ended in between counts up to the earlier call."""

    def __init__(self) -> None:
        self._total: tuple[float, float] | None = None
        self._theirs: dict[int, float] = {}

    def measure(self, pids: Iterable[int]) -> CpuUse | None:
        """Returns the use since the last call; None at the first call, or if no time has passed."""
        busy, whole = _machine_seconds()
        theirs = {pid: seconds for pid in pids if (seconds := _process_seconds(pid)) is not None}
        before, self._total = self._total, (busy, whole)
        known, self._theirs = self._theirs, theirs
        if before is None or whole <= before[1]:
            return None
        passed = whole - before[1]
        used = sum(max(0.0, seconds - known.get(pid, seconds)) for pid, seconds in theirs.items())
        total = max(0.0, busy - before[0])
        return CpuUse(min(100.0, 100 * total / passed), min(100.0, 100 * used / passed))


class _Process(NamedTuple):
    """`names`: the process's name, then its program and first arguments without folders, in lower case."""

    pid: int
    parent: int
    names: tuple[str, ...]


def _processes() -> Iterator[_Process]:
    for process in psutil.process_iter(["pid", "ppid", "name", "cmdline"]):
        info = process.info
        arguments = (info["cmdline"] or [])[:_ARGUMENTS]
        names = [info["name"] or "", *(re.split(r"[/\\]", argument)[-1] for argument in arguments)]
        yield _Process(info["pid"], info["ppid"] or 0, tuple(name.lower() for name in names))


def _port_owners() -> dict[int, set[int]]:
    """Returns the listening processes by port, as far as this user may see them."""
    owners: dict[int, set[int]] = {}
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):  # macOS reveals them only to root
        return {}
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.pid and each.laddr:
            owners.setdefault(each.laddr.port, set()).add(each.pid)
    return owners


def _machine_seconds() -> tuple[float, float]:
    """Returns the busy and total seconds of all CPUs since the start."""
    times = psutil.cpu_times()
    # On Linux, guest time is part of user time.
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return whole - times.idle - getattr(times, "iowait", 0.0), whole


def _process_seconds(pid: int) -> float | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)
