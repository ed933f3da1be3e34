"""The environments of the clients, installed separately from Trunkline, from lock files, once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from scripts.locked_environment import made_once, python_of, run

HERE = Path(__file__).parent
PYTHON = HERE / "python"
NODE = HERE / "node"
IDENTITY_PROVIDER = HERE / "identity_provider"
#: The pinned JavaScript clients run with this version, although some require 22.
OLDEST_NODE = 20


def python() -> Path:
    """Returns the interpreter that has the Python clients."""
    return python_of(PYTHON / "clients.lock")


def node() -> Path:
    """Returns a directory with the JavaScript clients in `node_modules` and their scripts next to it."""
    return _installed("node-clients", NODE)


def identity_provider() -> Path:
    """Returns a directory with the certified OpenID provider in `node_modules` and its script next to it."""
    return _installed("identity-provider", IDENTITY_PROVIDER)


def _installed(name: str, folder: Path) -> Path:
    npm = program("npm")
    sources = [folder / "package.json", folder / "package-lock.json"]

    def make(directory: Path) -> None:
        directory.mkdir()
        for source in sources:
            shutil.copy(source, directory)
        run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], directory)

    directory = made_once(name, sources, make)
    for script in folder.glob("*.mjs"):
        shutil.copy(script, directory)
    return directory


def node_program() -> str:
    """Returns the path of Node.js. Raises RuntimeError if it is missing, or too old for the pinned clients."""
    found = program("node")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        raise RuntimeError(f"Node.js {version} is too old: the clients need {OLDEST_NODE}, see https://nodejs.org")
    return found


def program(name: str) -> str:
    """Returns the path of a program. Raises RuntimeError with the command that installs it if there is none."""
    packages = {"npm": "nodejs npm", "node": "nodejs npm", "curl": "curl"}
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is missing: apt-get install {packages[name]}")
    return found
