"""Our module for Envoy, `envoy/module`: taken from the wheel, or compiled if it is missing or has changed.

The compiler is the system's, or the one in the wheel `ziglang`: Python is enough.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from trunkline.errors import UsageError

#: Envoy looks for this name on every system.
LIBRARY = "libtrunkline.so"
FLAGS = (
    *("-std=c11", "-O3", "-pthread", "-fPIC", "-fvisibility=hidden", "-shared"),
    *("-Wall", "-Wextra", "-fstack-protector-strong"),
)
#: Undefined symbols are resolved by Envoy.
LINKING = {"Darwin": ("-undefined", "dynamic_lookup"), "Linux": ("-Wl,-z,relro,-z,now",)}
INSTALL = "pip install ziglang" + (
    ", or xcode-select --install" if sys.platform == "darwin" else ", or sudo apt-get install gcc libc6-dev"
)


def directory(data_dir: Path) -> Path:
    """Returns the directory of the module, and compiles it if necessary.

    A wheel has it compiled for the systems of Envoy's wheels. A distributor may put one into `_envoy` itself,
    which takes precedence. Otherwise it is next to its sources in a checkout, or in `data_dir` if those are not
    writable.

    Raises:
        UsageError: there is no C compiler, or it failed; with its words.
    """
    packaged = Path(__file__).parent / "_envoy"
    for compiled_for in (packaged, packaged / platform_name(platform.system(), platform.machine())):
        if (compiled_for / LIBRARY).is_file():
            return compiled_for
    sources = packaged / "module" if packaged.is_dir() else packaged.parents[1] / "envoy" / "module"
    beside = not packaged.is_dir() and os.access(sources.parent, os.W_OK)
    return compiled(sources, sources.parent / "build" if beside else data_dir / "module")


def platform_name(system: str, machine: str) -> str:
    """Returns the folder of a wheel's module, e.g. `linux-x86_64`; the arguments are those of `platform`."""
    return f"{system}-{machine}".lower()


def compiled(sources: Path, builds: Path) -> Path:
    """Returns the directory below `builds` with the module made of exactly these sources. Raises UsageError."""
    files = sorted(sources.glob("*.[ch]"))
    flags = (*FLAGS, *LINKING.get(platform.system(), ()))
    digest = hashlib.sha256("\0".join((os.environ.get("CC", ""), *flags)).encode())
    for file in files:
        digest.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    made = builds / digest.hexdigest()[:16]
    if (made / LIBRARY).is_file():
        return made
    made.mkdir(parents=True, exist_ok=True)
    # Renamed when complete: two processes may compile at once.
    with TemporaryDirectory(dir=builds) as apart:
        fresh = Path(apart) / LIBRARY
        compile_module(compiler(), flags, [file for file in files if file.suffix == ".c"], fresh)
        fresh.rename(made / LIBRARY)
    return made


def compiler() -> tuple[str, ...]:
    """Returns the command that compiles C: `$CC`, the system's, or the wheel ziglang's.

    Raises:
        UsageError: there is none.
    """
    wanted = os.environ.get("CC")
    names = (wanted,) if wanted else ("cc", "gcc", "clang")
    for name in names:
        if shutil.which(name) is not None:
            return (name,)
    if wanted is None and importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    missing = f"{wanted} was not found" if wanted else "there is no cc, and no ziglang in this Python"
    raise UsageError(f"Envoy's module needs a C compiler once ({missing}): {INSTALL}")


def compile_module(command: Sequence[str], flags: Sequence[str], sources: Sequence[Path], output: Path) -> None:
    """Compiles `sources` to `output`. Raises UsageError with the compiler's output."""
    done = subprocess.run(
        [*command, *flags, "-o", str(output), *map(str, sources)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        shown = " ".join(command)
        raise UsageError(f"{shown} could not compile Envoy's module: {done.stderr.strip()}\nIt needs: {INSTALL}")
