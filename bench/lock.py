"""A lock that allows one benchmark at a time on a machine: two would distort each other."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import AlreadyRunningError

NAME = "trunkline-bench"


@contextmanager
def exclusive(name: str = NAME) -> Iterator[None]:
    """Holds the machine's lock of that name, an abstract Unix socket, which vanishes with its process.

    A benchmark started by the holder itself is a part of that run and may proceed.

    Raises:
        AlreadyRunningError: another benchmark runs; the message names its pid.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours:
        try:
            ours.bind(f"\0{name}")
        except OSError:
            holder = _holder(name)
            if holder != os.getppid():
                raise AlreadyRunningError(
                    f"another benchmark runs on this machine (pid {holder or 'unknown'}), and two would measure "
                    "each other: wait for it to end, or end it"
                ) from None
        else:
            ours.listen(8)
        yield


def _holder(name: str) -> int:
    """Returns the pid of the listener; 0 if it has just ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(f"\0{name}")
        except OSError:
            return 0
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])
