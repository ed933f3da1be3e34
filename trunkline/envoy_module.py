"""Our module for Envoy, `envoy/module`: compiled when it is first needed or has changed, in less than a second."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from trunkline.errors import UsageError

#: Envoy looks for this name, whatever the system.
LIBRARY = "libtrunkline.so"
FLAGS = (
    *("-std=c11", "-O2", "-pthread", "-fPIC", "-fvisibility=hidden", "-shared"),
    *("-Wall", "-Wextra", "-fstack-protector-strong"),
    # Envoy has what is not found here.
    *(("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-Wl,-z,relro,-z,now",)),
)
INSTALL = (
    "xcode-select --install" if sys.platform == "darwin" else "sudo apt-get install gcc libc6-dev (Debian, Ubuntu)"
)


def directory(data_dir: Path) -> Path:
    """Where Envoy finds the module, compiled now if it is not there yet.

    A distributor may put a compiled one into the package, where it is taken as it is. Otherwise it lies beside its
    sources in a checkout, and in `data_dir` where those cannot be written to.

    Raises:
        UsageError: there is no C compiler, or it failed; with its words.
    """
    packaged = Path(__file__).parent / "_envoy"
    if (packaged / LIBRARY).is_file():
        return packaged
    sources = packaged / "module" if packaged.is_dir() else packaged.parents[1] / "envoy" / "module"
    beside = not packaged.is_dir() and os.access(sources.parent, os.W_OK)
    return compiled(sources, sources.parent / "build" if beside else data_dir / "module")


def compiled(sources: Path, builds: Path) -> Path:
    """The directory below `builds` with the module made of exactly these sources. Raises UsageError."""
    files = sorted(sources.glob("*.[ch]"))
    digest = hashlib.sha256("\0".join(FLAGS).encode())
    for file in files:
        digest.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    made = builds / digest.hexdigest()[:16]
    if (made / LIBRARY).is_file():
        return made
    made.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: two may compile at once.
    with TemporaryDirectory(dir=builds) as apart:
        fresh = Path(apart) / LIBRARY
        _compile([file for file in files if file.suffix == ".c"], fresh)
        fresh.rename(made / LIBRARY)
    return made


def _compile(sources: list[Path], output: Path) -> None:
    compiler = os.environ.get("CC") or "cc"
    if shutil.which(compiler) is None:
        raise UsageError(f"Envoy's module needs a C compiler once ({compiler} was not found): {INSTALL}")
    command = [compiler, *FLAGS, "-o", str(output), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UsageError(
            f"{compiler} could not compile Envoy's module: {done.stderr.strip()}\nIt needs: {INSTALL}"
        )
