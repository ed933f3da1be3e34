"""`trunkline docs`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from trunkline.errors import UsageError
from trunkline.text import say

_PACKAGE = Path(__file__).parents[1]
#: In a wheel, and in a checkout after `make docs`.
_SITES = (_PACKAGE / "_docs", _PACKAGE.parent / "build" / "site")


@click.command(
    epilog="""\b
Examples:
  trunkline docs
  trunkline docs failover
  trunkline docs --print
"""
)
@click.argument("page", default="index")
@click.option("--print", "only_print", is_flag=True, help="Print the page's location instead of opening it.")
def docs(*, page: str, only_print: bool) -> None:
    """Open the documentation of this version in a browser, without the internet."""
    site = next((each for each in _SITES if (each / "index.html").is_file()), None)
    if site is None:
        raise UsageError("this checkout has no site yet: make it with `make docs`, or read docs/*.md")
    file = site / f"{page.removesuffix('.html').removesuffix('.md')}.html"
    if not file.is_file() or file.parent != site:
        made_by_sphinx = {"genindex", "search"}
        pages = ", ".join(sorted(each.stem for each in site.glob("*.html") if each.stem not in made_by_sphinx))
        raise UsageError(f"no page {page}; there are: {pages}")
    if only_print or not webbrowser.open(file.as_uri()):
        say(str(file))
