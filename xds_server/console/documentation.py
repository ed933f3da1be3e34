"""Finds the documentation's site in the wheel, or in a checkout after `make docs`. It is served below `/docs/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xds_server.console.files import File, file

PREFIX = "/docs/"
_ROOT = Path(__file__).parents[2]
#: Next to this package in a wheel, in the build directory of a checkout.
_SITES = (_ROOT / "trunkline" / "_docs", _ROOT / "build" / "site")
_TYPES = frozenset({".html", ".css", ".js", ".svg", ".png"})
#: Requested again on every visit: another version of the gateway has other pages at the same addresses.
_CACHE_CONTROL = "no-cache"
_HOW = """This checkout has no documentation site yet. Make it with `make docs`, then load this page again.
The same text is in docs/*.md.
"""
_NOWHERE = """The documentation has no such page. /docs/ has the list of its pages.
"""


def directory() -> Path | None:
    """Returns where the site is; None in a checkout that has not made it."""
    return next((each for each in _SITES if (each / "index.html").is_file()), None)


def load(root: Path) -> Mapping[str, File]:
    """Reads and compresses the site, by path. Takes some tenths of a second. Raises OSError."""
    found = {
        PREFIX + path.relative_to(root).as_posix(): file(path.name, path.read_bytes(), _CACHE_CONTROL)
        for path in sorted(root.rglob("*"))
        if path.suffix in _TYPES and path.is_file()
    }
    return {**found, PREFIX: found[f"{PREFIX}index.html"]}


def missing() -> File:
    """Returns the page that replaces a site that was not built: it says how to build it."""
    return file("missing.txt", _HOW.encode(), _CACHE_CONTROL)


def nowhere() -> File:
    """Returns the page for an address that the site does not have."""
    return file("nowhere.txt", _NOWHERE.encode(), _CACHE_CONTROL)
