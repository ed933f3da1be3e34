"""Compiles the two C programs into bench/build/ on first use and after changes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from bench.errors import CompilerMissingError

SOURCES = Path(__file__).parent
BUILD = SOURCES / "build"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra")
INSTALL = "on Debian or Ubuntu: sudo apt-get install gcc libc6-dev"


def program(name: Literal["loadgen", "upstream"], build: Path = BUILD) -> Path:
    """Returns the path of an up-to-date executable. Raises CompilerMissingError with the compiler's output."""
    built = build / name
    sources = [SOURCES / f"{name}.c", *SOURCES.glob("*.h")]
    if built.exists() and all(built.stat().st_mtime >= source.stat().st_mtime for source in sources):
        return built
    compiler = os.environ.get("CC") or "cc"
    if shutil.which(compiler) is None:
        raise CompilerMissingError(f"The benchmark needs a C compiler ({compiler} was not found); {INSTALL}")
    build.mkdir(parents=True, exist_ok=True)
    fresh = build / f".{name}.{os.getpid()}"  # renamed when complete: two runs may build at once
    done = subprocess.run(
        [compiler, *FLAGS, "-o", str(fresh), str(sources[0])], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CompilerMissingError(f"{compiler} could not build {sources[0]}: {done.stderr.strip()}\n{INSTALL}")
    fresh.rename(built)
    return built
