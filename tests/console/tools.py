"""The tools that test the console besides Playwright, installed separately, from a lock file, once."""

from __future__ import annotations

import shutil
from pathlib import Path

from scripts.locked_environment import made_once, run
from tests.clients.environments import program

HERE = Path(__file__).parent
CONSOLE = HERE.parents[1] / "console"


def packages() -> Path:
    """Returns `node_modules` with axe-core and typescript."""
    npm = program("npm")
    sources = [HERE / "package.json", HERE / "package-lock.json"]

    def make(directory: Path) -> None:
        directory.mkdir()
        for source in sources:
            shutil.copy(source, directory)
        run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], directory)

    return made_once("console-tests", sources, make) / "node_modules"


def chromium() -> str:
    """Returns the path of the browser. Raises RuntimeError with the command that installs it if there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise RuntimeError("chromium is missing: apt-get install chromium")
