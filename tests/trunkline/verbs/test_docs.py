"""`trunkline docs` finds the pages that the checkout's own build makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.build_docs import built_once
from trunkline.__main__ import main
from trunkline.verbs import docs

PAGES = Path(__file__).parents[3] / "docs"


@pytest.mark.packages
@pytest.mark.slow
def test_every_page_is_in_the_site_and_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    site = built_once()
    monkeypatch.setattr(docs, "_SITES", (site,))
    for page in PAGES.glob("*.md"):
        done = CliRunner().invoke(main, ["docs", page.stem, "--print"])
        assert done.output.strip() == str(site / f"{page.stem}.html")
    wrong = CliRunner().invoke(main, ["docs", "../index"])
    assert wrong.exit_code == 1
    assert "there are: accounts, " in wrong.output


def test_a_checkout_without_a_site_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "_SITES", (tmp_path,))
    assert "make docs" in CliRunner().invoke(main, ["docs"]).output
