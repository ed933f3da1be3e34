"""The documentation's site, made once for all tests that look at it."""

from __future__ import annotations

from pathlib import Path

from scripts.build_docs import DOCS, build
from scripts.locked_environment import ROOT, made_once


def documentation() -> Path:
    """Returns the directory of the site. Making it takes some ten seconds."""
    pages = sorted(each for each in DOCS.rglob("*") if each.is_file() and "__pycache__" not in each.parts)

    def make(directory: Path) -> None:
        build(directory)

    return made_once("documentation", [ROOT / "scripts" / "build_docs.py", *pages], make)
