"""Builds the documentation's site from docs/*.md, with Sphinx in its own environment: `make docs`.

A page without an entry in a table of contents, or a link to a page or section that does not exist, is an error.
The gateway serves the site under the policy of the console: it has nothing inline, and no script turns text into
HTML.
"""

from __future__ import annotations

import hashlib
import html
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from scripts.locked_environment import ROOT, made_once, python_of, run

DOCS = ROOT / "docs"
SITE = ROOT / "build" / "site"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_INLINE_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_STYLE_ATTRIBUTE = re.compile(r'(<[^>]*?) style="([^"]*)"')
#: Where a script of Sphinx makes HTML of text, and what takes its place: titles and descriptions are text, and no
#: link is a script.
_SCRIPTS = {
    "searchtools.js": {
        "linkEl.innerHTML = _escapeHTML(title);": "linkEl.textContent = title;",
        'listItem.appendChild(document.createElement("span")).innerHTML =\n      ` (${_escapeHTML(descr)})`;': (
            'listItem.appendChild(document.createElement("span")).textContent = ` (${descr})`;'
        ),
    },
    "sphinx_highlight.js": {"if (searchBox === null) return;": "return;"},
}


def build(site: Path = SITE) -> Path:
    """Returns the directory of the site's index.html. Raises RuntimeError with Sphinx's errors."""
    python = python_of(DOCS / "site.lock")
    with tempfile.TemporaryDirectory() as doctrees:  # two builds may run at once
        run([python, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-d", doctrees, DOCS, site])
    for of_sphinx in (".buildinfo", "objects.inv"):
        (site / of_sphinx).unlink(missing_ok=True)
    for page in site.glob("*.html"):
        page.write_text(_without_inline(page.read_text(encoding="utf-8"), site), encoding="utf-8")
    for name, replaced in _SCRIPTS.items():
        script = site / "_static" / name
        script.write_text(_without_markup(name, script.read_text(encoding="utf-8"), replaced), encoding="utf-8")
    return site


def built_once() -> Path:
    """Returns the directory of the site, built only if a page changed. Several processes may call this at once.

    Raises RuntimeError with Sphinx's errors.
    """
    pages = sorted(each for each in DOCS.rglob("*") if each.is_file() and "__pycache__" not in each.parts)

    def make(directory: Path) -> None:
        build(directory / "site")

    return made_once("documentation", [Path(__file__), *pages], make) / "site"


def _without_inline(page: str, site: Path) -> str:
    """Moves scripts and styles that are inline to files of their own."""
    styles: dict[str, str] = {}

    def kept(content: str, suffix: str) -> str:
        name = f"_static/inline-{hashlib.sha256(content.encode()).hexdigest()[:8]}{suffix}"
        (site / name).write_text(content, encoding="utf-8")
        return name

    def named(found: re.Match[str]) -> str:
        style = html.unescape(found[2])
        name = hashlib.sha256(style.encode()).hexdigest()[:8]
        styles[name] = style
        return f'{found[1]} data-style="{name}"'

    page = _INLINE_SCRIPT.sub(lambda found: f'<script src="{kept(found[1], ".js")}"></script>', page)
    page = _INLINE_STYLE.sub(lambda found: f'<link rel="stylesheet" href="{kept(found[1], ".css")}">', page)
    page = _STYLE_ATTRIBUTE.sub(named, page)
    if not styles:
        return page
    rules = "".join(f'[data-style="{name}"] {{ {style} }}\n' for name, style in sorted(styles.items()))
    return page.replace("</head>", f'<link rel="stylesheet" href="{kept(rules, ".css")}"></head>', 1)


def _without_markup(name: str, script: str, replaced: Mapping[str, str]) -> str:
    """Raises RuntimeError where the script is no longer as it is known here."""
    for markup, text in replaced.items():
        if markup not in script:
            raise RuntimeError(f"Sphinx's {name} has changed: it no longer has {markup!r}")
        script = script.replace(markup, text)
    return script


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build() / 'index.html'}\n")
    except RuntimeError as error:
        sys.exit(str(error))
