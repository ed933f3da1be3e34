"""Every page in light and dark, on a desktop and on a phone: it opens, and axe finds nothing."""

from __future__ import annotations

import re
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.console.conftest import Window
from tests.console.tools import CONSOLE, packages

PAGES = re.findall(r'id: "(\w+)", icon:', (CONSOLE / "src/pages.js").read_text())
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
SEEN = {
    "light": {**DESK, "color_scheme": "light"},
    "dark": {**DESK, "color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "light"},
}
#: Only serious and critical findings count.
_AXE = """() => axe.run(document, {resultTypes: ["violations"]}).then(found => found.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => each.id + ": " + each.nodes.map(node => node.html.slice(0, 200)).join(" | ")))"""

_CUT = """() => [...document.querySelectorAll("main fieldset, main [role=tablist], main .button")]
    .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent)"""
#: Words of two to nine letters on more than one line.
_BROKEN_WORDS = """() => {
    const found = [], range = document.createRange();
    const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode;
        if (node.parentElement.closest("pre, code, option, .mono, .unseen, caption, thead")) continue;
        for (const word of node.data.matchAll(/(?<!\\S)\\p{L}{2,9}(?!\\S)/gu)) {
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            if (new Set([...range.getClientRects()].map(each => Math.round(each.y))).size > 1) found.push(word[0]);
        }
    }
    return found;
}"""


#: Whether a table is wider than its frame.
_CUT_TABLE = "[...document.querySelectorAll('.table-frame')].some(each => each.scrollWidth > each.clientWidth + 1)"


@cache
def _axe() -> str:
    return (packages() / "axe-core/axe.min.js").read_text()


def findings(window: Window) -> list[str]:
    """Returns the serious findings of axe in the current view."""
    if not window.page.evaluate("'axe' in window"):
        window.page.evaluate(_axe())
    found: list[str] = window.page.evaluate(_AXE)
    return found


def sign_in(window: Window) -> None:
    """Signs in with the admin token in the window's language, Russian or English."""
    page = window.open()
    other = page.get_by_role("button", name=re.compile("Sign in with the admin token|Войти .* токеном"))
    if other.count():  # only shown if there are accounts
        other.click()
    page.get_by_label(re.compile("Admin token|Токен администратора")).fill(
        window.gateway.credentials["admin_token"]
    )
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=re.compile("Start|Начало"), level=1).wait_for()
    window.settled()


@pytest.mark.parametrize("options", SEEN.values(), ids=SEEN)
def test_every_page_is_accessible_and_fits(admin: Window) -> None:
    width = admin.page.viewport_size["width"] if admin.page.viewport_size else 0
    for name in PAGES:
        admin.open(name)
        admin.settled()
        assert findings(admin) == [], name
        assert admin.page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert not admin.page.locator(".notice.bad").count(), name


@pytest.mark.parametrize("options", [SEEN["light"], SEEN["phone"]], ids=["desk", "phone"])
def test_long_names_fit(admin: Window) -> None:
    """Long names of models, targets and providers wrap, and no table is wider than its container."""
    gateway, name = (
        admin.gateway,
        "a-model-with-a-long-name/and-a-vendor/and-a-date-2026-11-27-preview-instruct" * 2,
    )
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    api = f"{gateway.admin_url}/admin/v1"
    targets = [{"provider": "a", "model": name}, {"nodes": name, "tier": 1}]
    route = {"model": name, "targets": targets}
    assert httpx.post(f"{api}/routes", json={"route": route}, headers=headers, timeout=60).status_code == 200
    wider = """[...document.querySelectorAll("main, .table-frame, .card, .badge")]
        .filter(each => each.scrollWidth > each.clientWidth + 1 || each.getBoundingClientRect().right > innerWidth)
        .map(each => each.className + ": " + each.textContent.slice(0, 80))"""
    for view in ("models", f"models/{quote(name, safe='')}", "providers", "playground", "start"):
        admin.open(view)
        assert admin.page.evaluate(wider) == [], view
    assert httpx.post(f"{api}/routes:delete", json={"model": name}, headers=headers, timeout=60).status_code == 200


@pytest.mark.parametrize("options", [{"viewport": {"width": 320, "height": 640}}], ids=["320"])
@pytest.mark.parametrize("language", ["English", "Русский"])
def test_nothing_is_cut_on_the_narrowest_screen(admin: Window, language: str) -> None:
    """320 pixels are a phone, or a desktop at 400 %: no choice is cut off, and no short word is broken."""
    page = admin.page
    page.get_by_role("button", name="Menu").click()
    page.get_by_label(language).check()
    page.wait_for_selector(f"html[lang={'ru' if language == 'Русский' else 'en'}]")  # it is loaded on demand
    for name in PAGES:
        admin.open(name)
        assert page.evaluate(_CUT) == [], name
        assert page.evaluate(_BROKEN_WORDS) == [], name


@pytest.mark.parametrize("options", [{"locale": "en"}, {"locale": "ru"}], ids=["en", "ru"])
def test_a_key_of_a_long_model_fits(window: Window) -> None:
    """A pattern without a place to break does not push the buttons of its row out of the table."""
    gateway = window.gateway
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    api = f"{gateway.admin_url}/admin/v1/keys"
    key = {"organisation": "acme", "name": "of-a-long-model", "models": ["m" * 90]}
    made = httpx.post(api, json={"key": key}, headers=headers, timeout=60)
    assert made.status_code == 200, made.text
    sign_in(window)
    window.open("keys")
    window.page.get_by_role("row", name=re.compile("of-a-long-model")).wait_for()
    assert not window.page.evaluate(_CUT_TABLE)
    revoked = httpx.post(f"{api}/{made.json()['key']['id']}:revoke", json={}, headers=headers, timeout=60)
    assert revoked.status_code == 200, revoked.text


@pytest.mark.parametrize("options", SEEN.values(), ids=SEEN)
def test_the_door_is_accessible_and_fits(window: Window) -> None:
    window.open()
    assert findings(window) == []
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_view_is_one_request(window: Window) -> None:
    window.stop_clock()  # an hour that turns is another request
    window.sign_in()
    for name in PAGES:
        window.open("nothing")
        window.requests.clear()
        window.open(name)
        window.settled()
        window.page.wait_for_load_state("networkidle")
        assert len(set(window.calls)) <= 1, (name, window.calls)  # a page may repeat a call


@pytest.mark.parametrize("options", [{"locale": "ru"}], ids=["ru"])
def test_every_page_speaks_russian(window: Window) -> None:
    sign_in(window)
    page = window.page
    assert page.locator("html").get_attribute("lang") == "ru"
    for name in PAGES:
        window.open(name)
        window.settled()
        heading = page.locator("h1").inner_text()
        assert not heading.isascii(), heading
        assert not page.evaluate(_CUT_TABLE), name
        assert not re.search(r"\b[a-z]+\.[a-z_]+\b(?<!\.json)", page.locator(".nav").inner_text())
