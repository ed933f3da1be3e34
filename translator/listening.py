"""The listening socket: inherited, so that connections wait in it while this process restarts, or bound here."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from translator.errors import SettingsError

_FIRST_INHERITED = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


def is_inherited(environment: Mapping[str, str]) -> bool:
    """Returns whether a socket was passed to this very process. Raises SettingsError if there are several."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return False
    if environment.get("LISTEN_FDS") != "1":
        raise SettingsError(
            f"LISTEN_FDS is {environment.get('LISTEN_FDS')!r}: exactly one socket can be taken over"
        )
    return True


def inherit() -> socket.socket:
    """Returns the socket that `is_inherited` found. Raises SettingsError."""
    try:
        sock = socket.socket(fileno=_FIRST_INHERITED)
    except OSError as error:
        raise SettingsError(
            f"the inherited descriptor {_FIRST_INHERITED} is not a socket: {error.strerror}"
        ) from error
    os.set_inheritable(sock.fileno(), False)
    sock.setblocking(False)
    return sock


def bind(path: Path) -> socket.socket:
    """Binds a Unix socket with mode 0600. An existing socket on which nobody listens is replaced.

    Raises:
        SettingsError: another process listens there, the path is not a socket, or it cannot be created.
    """
    try:
        if path.exists():
            _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            sock.bind(str(path))
        except OSError:
            sock.close()
            raise
        finally:
            os.umask(mask)
    except OSError as error:
        raise SettingsError(f"--socket: {path}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise SettingsError(f"--socket: {path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(ConnectionRefusedError):
        probe.connect(str(path))
        raise SettingsError(f"--socket: another process listens on {path}")
    path.unlink()
