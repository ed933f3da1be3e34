"""The state that one `trunkline up` leaves to the program that replaces it in the same process, by exec.

The process stays the same, with its children, its lock and its listening socket. Observers see nothing end.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from trunkline.supervisor.spawn import ChildCommand

_VARIABLE = "TRUNKLINE_HANDOVER"
#: These signals wait for the new program: by default they would end it before it can set its handlers.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Handover:
    """`lock` and `translator` are descriptors; `children` are pids by name.

    `envoy` is the `fingerprint` of the running Envoy. `addresses` are those in use, host and port by field of
    Settings: a port 0 was resolved once.
    """

    pid: int
    lock: int
    translator: int
    children: Mapping[str, int]
    envoy: str
    addresses: Mapping[str, tuple[str, int]]

    @classmethod
    def inherited(cls, environment: MutableMapping[str, str]) -> Handover | None:
        """Returns the state left to this process and removes it from `environment`; None at an ordinary start."""
        text = environment.pop(_VARIABLE, "")
        if not text:
            return None
        found = json.loads(text)
        found["addresses"] = {name: (host, port) for name, (host, port) in found["addresses"].items()}
        left = cls(**found)
        return left if left.pid == os.getpid() else None

    def become(self) -> NoReturn:
        """Replaces this program by the installed one, with the same command line."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for descriptor in (self.lock, self.translator):
            os.set_inheritable(descriptor, True)
        environment = {**os.environ, _VARIABLE: json.dumps(asdict(self))}
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - no shell is the point


def check(environment: Mapping[str, str], log: Path) -> ChildCommand:
    """Exits with 0 if the installed program can start."""
    # Arguments after the subcommand are its own: --help makes it end after its imports.
    return ChildCommand("trunkline up --help", (sys.executable, *sys.orig_argv[1:], "--help"), environment, log)


def fingerprint(envoy: ChildCommand, bootstrap: str) -> str:
    """Returns a digest of everything that Envoy is started with: if it differs, another Envoy must be started."""
    binary = os.stat(envoy.argv[0])  # noqa: PTH116 - a string, once
    parts = [*envoy.argv, *(f"{name}={value}" for name, value in sorted(envoy.environment.items())), bootstrap]
    parts += [str(binary.st_ino), str(binary.st_size), str(binary.st_mtime_ns)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
