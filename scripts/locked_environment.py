"""Makes separate virtual environments from lock files with hashes, for tools and clients whose dependencies
collide with ours. Each is made once and kept below `build/environments` under the digest of its sources.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / "build" / "environments"
#: The length of the digest in a directory's name.
DIGITS = 16
UV = Path(sys.executable).parent / "uv"


def python_of(lock: Path, *, with_project: bool = False) -> Path:
    """Returns the interpreter of an environment with exactly the packages in `lock`, and Trunkline if requested.

    Raises RuntimeError with the output of uv if it cannot be made, or if Trunkline requires another version of a
    package.
    """

    def make(directory: Path) -> None:
        run([UV, "venv", "--quiet", "--python", sys.executable, directory])
        python = directory / "bin/python"
        run([UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock])
        if with_project:
            run([UV, "pip", "install", "--quiet", "--no-deps", "--python", python, "--editable", ROOT])
            run([UV, "pip", "check", "--quiet", "--python", python])

    sources = [lock, ROOT / "pyproject.toml"] if with_project else [lock]
    return made_once(lock.stem, sources, make) / "bin/python"


def made_once(name: str, sources: list[Path], make: Callable[[Path], None]) -> Path:
    """Returns a directory that `make` has filled from `sources`.

    It is made again if a source changes or `make` did not finish, and then replaces the old one. Several processes
    may call this at once.
    """
    digest = hashlib.sha256(sys.version.encode())
    for source in sources:
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    directory = ENVIRONMENTS / f"{name}-{digest.hexdigest()[:DIGITS]}"
    done = directory / ".complete"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            for former in ENVIRONMENTS.glob(f"{name}-{'[0-9a-f]' * DIGITS}"):
                shutil.rmtree(former)
            make(directory)
            done.touch()
    return directory


def run(command: list[str | Path], directory: Path | None = None) -> None:
    """Runs `command`. Raises RuntimeError with its output if it fails."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise RuntimeError(f"{words} failed with status {done.returncode}:\n{done.stdout}{done.stderr}")
