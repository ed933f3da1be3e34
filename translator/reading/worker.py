"""`python -m translator.reading.worker PARENT CPU`: reads bodies from the socket that is its standard input.

It has nothing but the body that it reads: no secrets, no policy and no files. A body that takes too much CPU or
memory ends the process, and so does the end of its parent, however that happens.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from translator.bodies import prefix
from translator.bodies.conversation import digest
from translator.bodies.facts import read
from translator.endpoints import ENDPOINTS
from translator.errors import Refusal
from translator.reading import wire
from translator.reading.wire import Result

#: Bytes of address space. A body of 32 MiB takes 350 MiB in the worst legitimate case, emoji in ASCII.
_MEMORY = 1 << 30
#: Bytes of resident memory: a process that still uses as much after its result ends.
_LARGE = 256 << 20
_NICE = 5
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Returns 0 when the parent closes the socket."""
    parent, cpu = int(sys.argv[1]), float(sys.argv[2])
    _confine()
    if os.getppid() != parent:
        return 0  # it died before the signal was requested
    with socket.socket(fileno=os.dup(0)) as sock:
        sock.sendall(wire.READY)
        while _serve(sock, cpu):
            pass
    return 0


def _confine() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICE)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process wherever it runs
    # No prompt may get into a core file. If a program takes core dumps, Linux ignores 0 but not 1.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    with suppress(ValueError, OSError):  # macOS does not support it
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # A parsed body has no cycles, and traversing millions of values would take longer than freeing them.
    gc.disable()


def _serve(sock: socket.socket, cpu: float) -> bool:
    """Reads one body, which may take `cpu` seconds. Returns whether another one may follow."""
    head = _received(sock, wire.TASK.size)
    if head is None:
        return False
    number, type_size, size = wire.TASK.unpack(head)
    content_type, body = _received(sock, type_size), _received(sock, size)
    if content_type is None or body is None:
        return False
    started = time.thread_time()  # the process's own time has the resolution of a tick while its timer runs
    signal.setitimer(signal.ITIMER_PROF, cpu)
    try:
        endpoint = ENDPOINTS[number]
        content = bytes(body)
        facts, values = read(content, bytes(content_type), endpoint)
        opening = prefix.opening(content, values, endpoint) if values else 0
        result = Result(msgspec.structs.replace(facts, head=digest(values), opening=opening))
    except Refusal as refusal:
        result = Result.of_refusal(refusal)
    except (MemoryError, RecursionError):
        result = Result.of_refusal(wire.too_complex())
    signal.setitimer(signal.ITIMER_PROF, 0)
    last = _resident() > _LARGE
    result = msgspec.structs.replace(result, seconds=time.thread_time() - started, last=last)
    sock.sendall(wire.encode(result))
    return not last


def _resident() -> int:
    """Returns the bytes of memory in use, or 0 if the system does not tell. `ru_maxrss` is the maximum ever, and
    inherited from the parent.
    """
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _received(sock: socket.socket, size: int) -> bytearray | None:
    """Returns exactly `size` bytes; None if the parent closed the socket first."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = sock.recv_into(view)
        if not count:
            return None
        view = view[count:]
    return data


if __name__ == "__main__":
    sys.exit(main())
