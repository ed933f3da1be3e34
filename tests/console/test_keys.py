"""Keys: created, shown once, changed, rotated, revoked; with the keyboard alone where that matters."""

from __future__ import annotations

import re

import httpx

from tests.console.conftest import Window
from tests.waiting import eventually

KEY = re.compile(r"sk-tl-[\w-]+")


def _models(window: Window, key: str) -> int:
    return httpx.get(
        f"{window.gateway.base_url}/models", headers={"authorization": f"Bearer {key}"}, timeout=60
    ).status_code


def test_a_key_is_shown_once_with_recipes_and_works(admin: Window) -> None:
    page = admin.open("keys")
    page.get_by_role("button", name="New key").first.click()
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("combobox", name="Organisation").select_option("acme")
    page.get_by_role("button", name="Add a limit").click()
    page.get_by_label("At most").fill("5")
    page.get_by_role("button", name="Create the key").click()
    page.get_by_text("This is the only time").wait_for()
    key = page.locator(".secret code").inner_text()
    assert KEY.fullmatch(key)
    assert key in page.locator(".code pre").inner_text()
    for client in ("Python", "Codex", "Aider"):
        page.get_by_label("Client").select_option(label=client)
        assert key in page.locator("dialog .code pre").inner_text()
    eventually(lambda: _models(admin, key) == 200)
    page.get_by_role("button", name="I have copied it").click()
    row = page.get_by_role("row", name=re.compile("laptop"))
    row.get_by_text("5 requests per minute").wait_for()
    assert key not in page.content()
    page.reload()
    page.get_by_role("row", name=re.compile("laptop")).wait_for()
    assert key.rpartition("-")[2] not in page.content()


def test_a_key_is_renamed_rotated_and_revoked(admin: Window) -> None:
    made = admin.gateway.run("keys", "create", "--org", "acme", "--name", "robot").stdout
    first = KEY.search(made)
    assert first is not None
    page = admin.open("keys")
    row = page.get_by_role("row", name=re.compile("robot"))
    row.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Models").fill("gpt-*, llama*")
    page.get_by_role("button", name="Save").click()
    row.get_by_text("gpt-*, llama*").wait_for()
    row.get_by_role("button", name="Rotate").click()
    page.get_by_label("The former secret works for").select_option("0")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    second = page.locator(".secret code").inner_text()
    eventually(lambda: (_models(admin, first[0]), _models(admin, second)) == (401, 200))
    page.get_by_role("button", name="I have copied it").click()
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    row.wait_for(state="detached")
    eventually(lambda: _models(admin, second) == 401)
    page.get_by_label("Show revoked keys").check()
    page.get_by_role("row", name=re.compile("robot")).get_by_text("revoked").wait_for()


def test_what_a_file_manages_is_read_only(admin: Window) -> None:
    page = admin.open("keys")
    row = page.get_by_role("row", name=re.compile("^ci "))
    row.get_by_text("file: ").wait_for()
    assert row.get_by_role("button", name="Edit").count() == 0


def test_a_refusal_stands_in_the_dialog_that_was_sent(admin: Window) -> None:
    admin.expected.append("409")
    page = admin.open("keys")
    page.get_by_role("button", name="New key").first.click()
    page.get_by_label("Name").fill("ci")
    page.get_by_role("combobox", name="Organisation").select_option("acme")
    page.get_by_role("button", name="Create the key").click()
    page.get_by_role("alert").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
