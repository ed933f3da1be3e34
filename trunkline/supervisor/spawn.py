"""fork and exec with two features that `subprocess` lacks: an inherited socket at descriptor 3 (systemd's
LISTEN_FDS, whose LISTEN_PID is only known after the fork) and death together with the parent.

Forking Python is only safe while no other thread can hold a lock: `trunkline up` runs one thread (what needs gRPC
or TLS runs in children). Between fork and exec the child imports nothing, logs nothing and takes no lock.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

_INHERITED = 3  # SD_LISTEN_FDS_START
_PR_SET_PDEATHSIG = 1
_LOG_LIMIT_BYTES = 32 * 1024 * 1024
# Linux closes a range with one system call; elsewhere one call per descriptor is needed.
_HIGHEST_DESCRIPTOR = 1 << 20 if sys.platform == "linux" else 4096
_CANNOT_EXEC = 127  # as in a shell

_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """A command to run. `environment` is the child's complete environment.

    Standard output and error are appended to `log`, or go to this process's standard error without one. `listen`
    is passed as systemd does: listening, at descriptor 3.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path | None = None
    listen: socket.socket | None = None
    nice: int = 0
    #: The Unix socket of another service, which listens before this one is started for the first time.
    after: Path | None = None


def spawn(command: ChildCommand) -> int:
    """Starts the command and returns its pid. A command that cannot be executed ends with 127 and the reason in
    its log.
    """
    parent = os.getpid()
    output = 2 if command.log is None else _open_log(command.log)
    # A signal between fork and exec would run our handlers in the child; it waits until exec has removed them.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(command, parent, output, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if command.log is not None:
            os.close(output)
    return pid


def _become(command: ChildCommand, parent: int, output: int, blocked: set[int | signal.Signals]) -> NoReturn:
    """Runs in the child between fork and exec."""
    try:
        # Its own session, so that Ctrl-C in the terminal reaches only the supervisor, which then stops in order.
        os.setsid()
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the parent died before the line above took effect
                os._exit(_CANNOT_EXEC)
        # A core dump would have credentials and prompts. If a program takes core dumps, Linux ignores 0 but not 1.
        # An operator who needs one raises the limit of the running process (prlimit).
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (1 if hard else 0, hard))
        if command.nice:
            os.nice(command.nice)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        environment, first_closed = dict(command.environment), _INHERITED
        if command.listen is not None:
            if command.listen.fileno() == _INHERITED:
                os.set_inheritable(_INHERITED, True)
            else:
                os.dup2(command.listen.fileno(), _INHERITED)
            first_closed += 1
            environment |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        os.closerange(first_closed, _HIGHEST_DESCRIPTOR)  # inherited descriptors are not close-on-exec
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)  # exec resets handlers, but keeps ignored signals
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.execve(command.argv[0], command.argv, environment)  # noqa: S606 - no shell is the point
    except BaseException as error:  # noqa: BLE001 - the child must never return into the parent's code
        os.write(2, f"cannot start {command.argv[0]}: {error}\n".encode())
    os._exit(_CANNOT_EXEC)


def _open_log(path: Path) -> int:
    """Opens the log for appending; once it has grown past the limit, it is rotated and one older file is kept."""
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
