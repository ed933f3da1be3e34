"""The lock that allows one `trunkline up` per data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.errors import AlreadyRunningError


@contextmanager
def exclusive(path: Path, inherited: int | None = None) -> Iterator[int]:
    """Holds the lock file `path`, which contains this process's pid. The kernel releases it however the process
    ends.

    Yields the descriptor that holds it; `inherited` is a descriptor that already does.

    Raises:
        AlreadyRunningError: another process holds it; the message names its pid.
    """
    # Not truncated on open: until this process has the lock, the content is the other process's.
    descriptor = inherited or os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.set_inheritable(descriptor, False)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, 32, 0).decode().partition("\n")[0] or "unknown"
            raise AlreadyRunningError(
                f"`trunkline up` is already running on {path.parent} (pid {pid}): stop it with `kill {pid}` or "
                "Ctrl-C in its terminal, or choose another --data-dir"
            ) from None
        # Never empty: `holder` may read it at any moment, also while a restart takes the lock over.
        written = os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        os.ftruncate(descriptor, written)
        yield descriptor
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """Returns the pid of the `trunkline up` that holds the lock file `path`; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode().partition("\n")[0]
        return int(pid) if pid.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)
