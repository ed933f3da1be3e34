"""Updates the libraries of the console, `console/vendor`, from npm.

Their versions and hashes are in `console/vendor/package-lock.json`. Browsers resolve no package names, so imports
of packages become imports of files, and a plain script gets an export; nothing else is changed.

With `--check` it only compares, and fails if a committed file differs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

from scripts.locked_environment import ROOT, made_once, run

VENDOR = ROOT / "console" / "vendor"
_PINNED = (VENDOR / "package.json", VENDOR / "package-lock.json")
#: Path in npm → path here. A stylesheet and licences are copied unchanged.
_FILES = {
    "preact/dist/preact.mjs": "preact.js",
    "preact/hooks/dist/hooks.mjs": "preact-hooks.js",
    "preact/LICENSE": "preact.LICENSE.txt",
    "@preact/signals/dist/signals.mjs": "preact-signals.js",
    "@preact/signals/LICENSE": "preact-signals.LICENSE.txt",
    "@preact/signals-core/dist/signals-core.mjs": "preact-signals-core.js",
    "@preact/signals-core/LICENSE": "preact-signals-core.LICENSE.txt",
    "htm/dist/htm.mjs": "htm.js",
    "htm/LICENSE": "htm.LICENSE.txt",
    "uplot/dist/uPlot.iife.min.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "uplot/LICENSE": "uplot.LICENSE.txt",
}
_IMPORTED = {
    "preact": "preact.js",
    "preact/hooks": "preact-hooks.js",
    "@preact/signals": "preact-signals.js",
    "@preact/signals-core": "preact-signals-core.js",
}
_IMPORT = re.compile(r"""(?<=from)\s*(["'])(@?[a-z][a-z0-9@/-]*)\1""")
#: Turns a script that defines one name into a module.
_EXPORTS = {"uplot.js": "export default uPlot;\n"}
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*\n?", re.MULTILINE)


def vendored() -> dict[str, bytes]:
    """Returns the files by their names in `console/vendor`.

    Raises RuntimeError if npm fails, and KeyError for an import of a package that is not vendored.
    """
    packages = made_once("console-vendor", list(_PINNED), _install) / "node_modules"
    found = {}
    for source, name in _FILES.items():
        content = (packages / source).read_text(encoding="utf-8")
        if name.endswith(".js"):
            content = _SOURCE_MAP.sub("", _IMPORT.sub(_beside, content)) + _EXPORTS.get(name, "")
        found[name] = content.encode()
    return found


def _beside(found: re.Match[str]) -> str:
    return f' "./{_IMPORTED[found[2]]}"'


def _install(directory: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is missing: apt-get install nodejs npm")
    directory.mkdir()
    for source in _PINNED:
        shutil.copy(source, directory)
    run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], directory)


def main() -> None:
    """Writes the vendored files, or exits with a message if some are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    files = vendored()
    if not check:
        for name, content in files.items():
            (VENDOR / name).write_bytes(content)
        return
    stale = [name for name, content in files.items() if not _same(VENDOR / name, content)]
    if stale:
        sys.exit(f"stale, run `python -m scripts.vendor_console`: {', '.join(stale)}")


def _same(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


if __name__ == "__main__":
    main()
