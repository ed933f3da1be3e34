"""The documentation below `/docs/`, as browsers get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.xds_server.console.test_files import get
from tests.xds_server.rest.conftest import Rest, rest
from xds_server.console import documentation
from xds_server.console.answers import HEADERS

__all__ = ["rest"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(documentation, "_SITES", (tmp_path / "wheel", tmp_path / "site"))
    return tmp_path / "site"


def _made(site: Path) -> None:
    (site / "_static").mkdir(parents=True)
    (site / "index.html").write_text("<h1>Trunkline</h1>")
    (site / "keys.html").write_text("<h1>Keys</h1>")
    (site / "_static" / "site.css").write_text("h1 {}")
    (site / "_static" / "site.js.map").write_text("{}")


async def test_a_page_needs_no_token_and_has_the_console_s_policy(rest: Rest, site: Path) -> None:
    _made(site)
    for path, kind in (
        ("/docs", "text/html; charset=utf-8"),  # redirected to the next one
        ("/docs/", "text/html; charset=utf-8"),
        ("/docs/keys.html", "text/html; charset=utf-8"),
        ("/docs/_static/site.css?v=1", "text/css; charset=utf-8"),
    ):
        status, headers, _ = await get(rest, path)
        assert (status, headers["content-type"], headers["cache-control"]) == (200, kind, "no-cache")
        assert headers["content-security-policy"] == HEADERS["content-security-policy"]


@pytest.mark.parametrize("path", ["/docs/nothing.html", "/docs/keys", "/docs/_static/site.js.map"])
async def test_an_address_without_a_page_leads_to_the_list_of_pages(rest: Rest, site: Path, path: str) -> None:
    """A kept link to a page of another version asks nobody for a token."""
    _made(site)
    status, headers, text = await get(rest, path)
    assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert b"/docs/ has the list" in text
    assert headers["content-security-policy"] == HEADERS["content-security-policy"]


async def test_no_path_leads_out_of_the_site(rest: Rest, site: Path) -> None:
    _made(site)
    assert (await get(rest, "/docs/../secret.key"))[0] == 401


async def test_a_checkout_without_a_site_says_how_it_is_made(rest: Rest, site: Path) -> None:
    status, headers, text = await get(rest, "/docs/keys.html")
    assert (status, headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert b"make docs" in text
    _made(site)
    assert (await get(rest, "/docs/keys.html"))[0] == 200
