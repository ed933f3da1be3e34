"""What one `trunkline up` leaves to the program that replaces it in the same process, by exec.

The process stays, and with it its children, its lock and its listening socket. Who watches it sees nothing end.
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

from trunkline.supervisor.spawn import Command

_VARIABLE = "TRUNKLINE_HANDOVER"
#: Wait for the new program: by default they would end it before it can say what is to happen.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class Handover:
    """`lock` and `translator` are descriptors; `children` are pids by name.

    `envoy` is the `fingerprint` of the Envoy that runs. `addresses` are those in use, host and port by field of
    Settings: a port 0 was chosen once.
    """

    pid: int
    lock: int
    translator: int
    children: Mapping[str, int]
    envoy: str
    addresses: Mapping[str, tuple[str, int]]

    @classmethod
    def inherited(cls, environment: MutableMapping[str, str]) -> Handover | None:
        """What was left to this process, taken out of `environment`; None at an ordinary start."""
        text = environment.pop(_VARIABLE, "")
        if not text:
            return None
        found = json.loads(text)
        found["addresses"] = {name: (host, port) for name, (host, port) in found["addresses"].items()}
        left = cls(**found)
        return left if left.pid == os.getpid() else None

    def become(self) -> NoReturn:
        """Replaces this program by the one that is installed now, with the same command line."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for descriptor in (self.lock, self.translator):
            os.set_inheritable(descriptor, True)
        environment = {**os.environ, _VARIABLE: json.dumps(asdict(self))}
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 - no shell is the point


def check(environment: Mapping[str, str], log: Path) -> Command:
    """Ends with 0 if the program that is installed now can be started."""
    # Everything behind the verb's name is for the verb: --help makes it go no further than its imports.
    return Command("trunkline up --help", (sys.executable, *sys.orig_argv[1:], "--help"), environment, log)


def fingerprint(envoy: Command, bootstrap: str) -> str:
    """Of all that an Envoy is started with: where it differs, another Envoy has to be started."""
    binary = os.stat(envoy.argv[0])  # noqa: PTH116 - a string, once
    parts = [*envoy.argv, *(f"{name}={value}" for name, value in sorted(envoy.environment.items())), bootstrap]
    parts += [str(binary.st_ino), str(binary.st_size), str(binary.st_mtime_ns)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
