"""The console with the keyboard alone."""

from __future__ import annotations

import pytest

from tests.console.conftest import Window
from tests.console.test_pages import PHONE
from tests.waiting import eventually


def _has_focus(window: Window, name: str) -> None:
    """Waits until the element with this name has the focus, which follows a rendering."""
    focused = "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
    eventually(lambda: window.page.evaluate(focused) == name)


def test_the_content_is_one_step_away_and_the_heading_has_the_focus(admin: Window) -> None:
    page = admin.page
    page.reload()
    admin.settled()
    page.locator("body").press("Tab")
    _has_focus(admin, "Skip to content")
    page.keyboard.press("Enter")
    eventually(lambda: page.evaluate("document.activeElement.id") == "main")
    page.get_by_role("link", name="Keys and limits").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Keys and limits", level=1).wait_for()
    _has_focus(admin, "Keys and limits")


def test_tabs_and_dialogs(admin: Window) -> None:
    page = admin.open("keys")
    admin.settled()
    page.get_by_role("tab", name="Keys").focus()
    page.keyboard.press("ArrowRight")
    _has_focus(admin, "Organisations")
    page.get_by_role("row", name="acme").wait_for()
    opener = page.get_by_role("button", name="New organisation")
    opener.focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("document.activeElement.matches('.dialog-body input')")
    for _ in range(12):
        page.keyboard.press("Tab")
        # None stands for the browser's own bar, between the last element and the first.
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    _has_focus(admin, "New organisation")


@pytest.mark.parametrize("options", [PHONE], ids=["phone"])
def test_the_menu_of_a_phone(admin: Window) -> None:
    page = admin.page
    menu = page.get_by_role("button", name="Menu")
    assert menu.get_attribute("aria-expanded") == "false"
    assert not page.get_by_role("navigation").is_visible()
    menu.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Menu", expanded=True).wait_for()
    page.get_by_role("link", name="Usage and cost").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Usage and cost", level=1).wait_for()
    page.get_by_role("navigation").wait_for(state="hidden")
