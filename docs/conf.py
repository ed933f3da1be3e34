"""Sphinx settings for building these pages as a site: `make docs`."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import Any

project = "Trunkline"
author = "Trunkline's authors"
project_copyright = "Trunkline's authors, Apache-2.0"
extensions = ["myst_parser"]
exclude_patterns = ["images/*.md"]
# The pages link to sections as a forge shows them.
myst_heading_anchors = 4
html_theme = "furo"
html_title = "Trunkline"
html_logo = html_favicon = "../console/logo.svg"
html_show_sourcelink = False
html_copy_source = False
# A summary would be made of a page's HTML, which the console's policy forbids.
html_show_search_summary = False
# Read from a disk, without the internet.
html_theme_options: dict[str, Any] = {"source_repository": "", "top_of_page_buttons": []}

#: A link to a file of the repository that is no page.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")


def setup(app: Any) -> None:
    """Leaves the text of links that lead out of the site."""

    def read(_: Any, __: str, source: list[str]) -> None:
        source[0] = _OUTSIDE.sub(r"\1", source[0])

    app.connect("source-read", read)


try:
    release = version_of("trunkline")
except ModuleNotFoundError:
    release = ""
