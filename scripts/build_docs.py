"""Makes the documentation's site of docs/*.md, with a Sphinx of its own: `make docs`.

A page that is in no table of contents, or a link to a page or section that there is not, is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.locked_environment import ROOT, python_of, run

DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"


def build(site: Path = SITE) -> Path:
    """Returns the directory whose index.html it is. Raises RuntimeError with what Sphinx says is wrong."""
    python = python_of(DOCS / "site.lock")
    run([python, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-d", ROOT / "build" / "doctrees", DOCS, site])
    for of_sphinx in (".buildinfo", "objects.inv"):
        (site / of_sphinx).unlink(missing_ok=True)
    return site


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build() / 'index.html'}\n")
    except RuntimeError as error:
        sys.exit(str(error))
