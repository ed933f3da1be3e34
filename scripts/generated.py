"""Writes generated files that are committed, or compares them with `--check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.locked_environment import ROOT


def main(description: str | None, files: Mapping[Path, str]) -> None:
    """Runs a generator's command line. With `--check`, exits with 1 if a file differs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    for file, content in files.items():
        if not check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != content:
            sys.exit(f"generated code is stale, run `make proto`: {file.relative_to(ROOT)}")
