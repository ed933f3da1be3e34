"""Builds the C targets, each as a program with the module's sources: with libFuzzer if clang has it, else with
`standalone.c`, which mutates inputs at random; always with the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
BUILD = HERE / "build"
_ROOT = HERE.parent
_SOURCES = (_ROOT / "envoy" / "module", _ROOT / "tests" / "envoy" / "drivers")
_TARGETS = HERE / "c"
_STANDALONE = _TARGETS / "standalone.c"
_FLAGS = ("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all", "-pthread")
_SANITIZERS = "address,undefined"
INSTALL = "scripts/install_fuzz_tools.sh"


class CompilerError(Exception):
    """A target could not be built; the text has the compiler's output."""


def targets() -> list[str]:
    """Returns the names of the C targets."""
    return sorted(path.stem for path in _TARGETS.glob("*.c") if path != _STANDALONE)


@cache
def libfuzzer() -> str | None:
    """Returns a compiler with libFuzzer; None if there is none."""
    candidates = ["clang", *(f"clang-{version}" for version in range(25, 11, -1))]
    return next((each for each in candidates if shutil.which(each) and _links(each)), None)


def program(target: str, *, guided: bool) -> Path:
    """Returns the path of the executable made of exactly these sources; `guided`: with libFuzzer.

    Raises CompilerError.
    """
    compiler = libfuzzer() if guided else os.environ.get("CC") or "cc"
    if compiler is None or shutil.which(compiler) is None:
        raise CompilerError(f"no compiler ({compiler or 'clang with libFuzzer'}): {INSTALL} installs one")
    files = sorted(file for sources in (*_SOURCES, _TARGETS) for file in sources.glob("*.[ch]"))
    digest = hashlib.sha256(f"{compiler} {guided} {_FLAGS}".encode())
    for file in files:
        digest.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    directory = BUILD / digest.hexdigest()[:16]
    made = directory / target
    if not made.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory) as apart:
            fresh = Path(apart) / target
            _link(compiler, target, _objects(compiler, directory, guided=guided), fresh, guided=guided)
            fresh.rename(made)  # when complete: two runs may compile at once
    return made


def _objects(compiler: str, directory: Path, *, guided: bool) -> list[Path]:
    """The module and the drivers of its tests, compiled once for all targets."""
    made = directory / "objects"
    if not made.exists():
        with TemporaryDirectory(dir=directory) as apart:
            fresh = Path(apart) / "objects"
            sanitizers = ("fuzzer-no-link," if guided else "") + _SANITIZERS
            for sources in _SOURCES:
                into = fresh / sources.name
                into.mkdir(parents=True)
                files = [str(file) for file in sorted(sources.glob("*.c"))]
                # The drivers have a `main` of their own.
                flags = [*_FLAGS, f"-fsanitize={sanitizers}", "-Dmain=main_of_drivers", *_includes()]
                _run([compiler, *flags, "-c", *files], into)
            if not made.exists():
                fresh.rename(made)
    return sorted(made.glob("*/*.o"))


def _link(compiler: str, target: str, objects: Sequence[Path], output: Path, *, guided: bool) -> None:
    sanitizers = ("fuzzer," if guided else "") + _SANITIZERS
    sources = [_TARGETS / f"{target}.c", *(() if guided else (_STANDALONE,))]
    _run(
        [compiler, *_FLAGS, f"-fsanitize={sanitizers}", *_includes(), "-o", str(output)]
        + [str(file) for file in (*sources, *objects)],
        BUILD,
    )


def _includes() -> list[str]:
    return [f"-I{sources}" for sources in (*_SOURCES, _TARGETS)]


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompilerError(f"{command[0]} could not build the fuzz targets: {done.stderr.strip()}\n{INSTALL}")


def _links(compiler: str) -> bool:
    """Returns whether the compiler also has libFuzzer's library, which is a separate package."""
    with TemporaryDirectory() as directory:
        source = Path(directory) / "empty.c"
        source.write_text(
            "int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }"
        )
        command = [compiler, f"-fsanitize=fuzzer,{_SANITIZERS}", str(source), "-o", str(source.with_suffix(""))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
