"""The module's sources and the drivers of these tests as one program, without Envoy and with sanitizers."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Literal

from tests import marking
from trunkline.envoy_module import INSTALL

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "envoy" / "module", Path(__file__).parent / "drivers")
BUILD = Path(__file__).parent / "build"
SANITIZERS = {"address": "address,undefined", "thread": "thread"}
FLAGS = ("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-fno-sanitize-recover", "-pthread")
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1", "TSAN_OPTIONS": "halt_on_error=1"}

MOST_RANDOM_BITS = 28

#: Seconds for a driver to end.
PATIENCE = 60

Argument = bytes | str | int | Path


def program(sanitizer: Literal["address", "thread"]) -> Path:
    """Returns the executable of exactly these sources. Fails with the compiler's output."""
    sys.audit(marking.NEEDS, "compiler")
    files = sorted(file for sources in SOURCES for file in sources.glob("*.[ch]"))
    digest = hashlib.sha256(" ".join((*FLAGS, SANITIZERS[sanitizer])).encode())
    for file in files:
        digest.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    made = BUILD / f"{sanitizer}-{digest.hexdigest()[:16]}"
    if made.exists():
        return made
    compiler = os.environ.get("CC") or "cc"
    if shutil.which(compiler) is None:
        raise RuntimeError(f"these tests need a C compiler ({compiler} was not found): {INSTALL}")
    BUILD.mkdir(exist_ok=True)
    fresh = BUILD / f".{made.name}.{os.getpid()}"  # renamed when complete: two runs may compile at once
    command = [compiler, *FLAGS, f"-fsanitize={SANITIZERS[sanitizer]}", "-o", str(fresh)]
    command += [f"-I{sources}" for sources in SOURCES]
    command += [str(file) for file in files if file.suffix == ".c"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{compiler} could not build the drivers: {done.stderr.strip()}\nIt needs: {INSTALL}")
    fresh.rename(made)
    return made


def _fixed_addresses() -> list[str]:
    """Returns the command that runs a driver without the address randomisation that ThreadSanitizer cannot
    handle.
    """
    bits = Path("/proc/sys/vm/mmap_rnd_bits")
    return ["setarch", "-R"] if bits.exists() and int(bits.read_text()) > MOST_RANDOM_BITS else []


class Driver:
    """One driver as a process of its own. A sanitizer's report ends it, and fails the next call."""

    def __init__(self, name: str, sanitizer: Literal["address", "thread"] = "address", **environment: str) -> None:
        self._process = subprocess.Popen(
            [*_fixed_addresses(), program(sanitizer), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **OPTIONS, **environment},
        )

    def ask(self, *command: Argument) -> list[bytes]:
        """Sends a command. Returns the texts of its answer."""
        self.send(*command)
        return self.receive()

    def send(self, *command: Argument) -> None:
        """Sends a command without waiting for the answer, which `receive` must take."""
        assert self._process.stdin is not None
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in command]
        message = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        self._process.stdin.write(struct.pack("<I", len(message)) + message)
        self._process.stdin.flush()

    def receive(self) -> list[bytes]:
        assert self._process.stdout is not None
        head = self._process.stdout.read(4)
        assert len(head) == 4, f"the driver ended with {self._process.wait()}; standard error says why"
        rest = self._process.stdout.read(struct.unpack("<I", head)[0])
        texts = []
        while rest:
            (size,) = struct.unpack_from("<I", rest)
            texts.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        return texts

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(PATIENCE if error is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._process.stdout.close()
        if error is None:
            assert status == 0, "the driver ended badly, or leaked; standard error says how"
