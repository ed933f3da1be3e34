"""Links that were kept or typed: a page that no longer exists, an option that it no longer has."""

from __future__ import annotations

import pytest

from tests.console.conftest import Window
from tests.waiting import eventually


@pytest.mark.parametrize(
    "address",
    [
        "usage?days=9&by=colour&and=colour",
        "usage?days=constructor&by=&and=DIMENSION_HOUR",
        "requests?show=finished&status=teapot",
        "keys?tab=gone",
        "audit?type=teapot",
        "reference?api=gone",
    ],
)
def test_an_unknown_option_is_ignored(admin: Window, address: str) -> None:
    page = admin.open(address)
    assert not page.locator("main .notice.bad").count()
    assert page.evaluate(
        "[...document.querySelectorAll('main select')].every(each => each.value || !each.selectedIndex)"
    )
    for group in ("[role=tablist]", ".filters .segmented, .page-actions .segmented"):
        chosen = "[aria-selected=true], label.chosen"
        assert all(each.locator(chosen).count() == 1 for each in page.locator(f"main :is({group})").all())


@pytest.mark.parametrize("address", ["gone", "constructor"])
def test_a_page_that_does_not_exist_says_so(admin: Window, address: str) -> None:
    page = admin.open("keys")
    page.evaluate("(address) => { location.hash = address; }", f"#/{address}")
    heading = page.get_by_role("heading", name="There is no such page", level=1)
    heading.wait_for()
    admin.settled()
    # It follows a rendering.
    eventually(lambda: page.title() == "There is no such page · Trunkline")
    assert not page.locator(".page-actions a").count()
