"""The documentation's pages have no inline scripts and styles, and look the same without them."""

from __future__ import annotations

import re
from pathlib import Path

from scripts import build_docs

PAGE = """<html><head><style>b { color: red }</style></head><body>
<svg style="display: none;"><p class="a" style="font-family: &quot;A&quot;">x</p><script>go()</script>
</body></html>
"""


def test_what_is_inline_moves_to_files(tmp_path: Path) -> None:
    (tmp_path / "_static").mkdir()
    page = build_docs._without_inline(PAGE, tmp_path)
    assert " style=" not in page
    assert "<style>" not in page
    assert "<script>" not in page
    kept = {each: (tmp_path / each).read_text() for each in re.findall(r'(?:href|src)="([^"]+)"', page)}
    assert "go()" in kept.values()
    (hidden,) = re.findall(r'<svg data-style="(\w+)">', page)
    (rules,) = [text for text in kept.values() if "data-style" in text]
    assert f'[data-style="{hidden}"] {{ display: none; }}' in rules
    assert '{ font-family: "A" }' in rules
