"""The sign-in page."""

from __future__ import annotations

import pytest

from tests.console.conftest import Window


def test_another_token_is_refused_in_words(window: Window) -> None:
    page = window.give_token("not-the-admin-token-of-this-gateway")
    page.get_by_role("alert").get_by_text("This is not the admin token").wait_for()
    assert page.locator("nav").count() == 0


def test_the_token_is_this_tabs_alone_and_goes_when_its_owner_does(admin: Window) -> None:
    page = admin.page
    page.reload()
    page.get_by_role("heading", name="Start", level=1).wait_for()
    token = admin.gateway.credentials["admin_token"]
    assert token not in page.content()
    assert page.evaluate("JSON.stringify({...localStorage})").count(token) == 0
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    page.get_by_role("heading", name="Sign in").wait_for()


def test_theme_and_language_are_chosen_and_stay(admin: Window) -> None:
    page = admin.page
    page.get_by_role("radio", name="Dark").check()
    page.get_by_role("radio", name="Русский").check()
    page.get_by_role("heading", name="Начало", level=1).wait_for()
    page.reload()
    page.get_by_role("heading", name="Начало", level=1).wait_for()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 23)"


def test_only_an_address_on_the_web_is_an_identity_providers(window: Window) -> None:
    page = window.page
    page.route(
        "**/admin/v1/console/door", lambda route: route.fulfill(json={"options": {"oidc": [{"name": "x"}]}})
    )
    page.route("**/admin/v1/oidc:begin", lambda route: route.fulfill(json={"url": "javascript:alert(1)"}))
    window.open()
    page.get_by_role("button", name="Sign in with x").click()
    page.get_by_role("alert").get_by_text("sent an unexpected answer").wait_for()


@pytest.mark.parametrize("needs_setup", [False, True])
def test_an_identity_provider_is_offered_even_before_there_is_an_account(
    window: Window, needs_setup: bool
) -> None:
    options = {"needs_setup": needs_setup, "password": True, "oidc": [{"name": "corp", "title": "Example Corp"}]}
    window.page.route("**/admin/v1/console/door", lambda route: route.fulfill(json={"options": options}))
    page = window.open()
    page.get_by_role("button", name="Sign in with Example Corp").wait_for()
    assert page.get_by_label("Password").count() == (0 if needs_setup else 1)
    page.get_by_role("button", name="Sign in with the admin token").click()
    page.get_by_label("Admin token").wait_for()
    assert page.get_by_text("trunkline users setup-link").count() == (1 if needs_setup else 0)
    page.get_by_role("button", name="Sign in with an account").click()
    page.get_by_role("button", name="Sign in with Example Corp").wait_for()
