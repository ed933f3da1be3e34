"""Every page that a role sees works for it, and offers nothing that the role may not do."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.console.conftest import Window
from tests.console.test_pages import findings

PASSWORD = "correct horse battery"
#: Role → its pages besides those of everybody, and whether it creates keys.
ROLES = {
    "viewer": (set[str](), False),
    "member": (set[str](), True),
    "operator": (set[str](), True),
    "owner": ({"members", "audit"}, True),
}
EVERYBODY = {"start", "playground", "models", "nodes", "usage", "keys", "reference", "account"}


def invited(window: Window, email: str, role: str) -> str:
    """Returns the fragment of an invitation's link."""
    headers = {"authorization": f"Bearer {window.gateway.credentials['admin_token']}"}
    body = {"email": email, "organisation": "acme", "role": f"ROLE_{role.upper()}"}
    answer = httpx.post(
        f"{window.gateway.admin_url}/admin/v1/users:invite", json=body, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"].partition("#")[2])


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_its_pages(window: Window, role: str) -> None:
    more, makes_keys = ROLES[role]
    page = window.page
    page.goto(f"{window.gateway.admin_url}/#{invited(window, f'{role}@example.org', role)}")
    page.get_by_text(f"For {role}@example.org.").wait_for()
    page.get_by_text(f"acme: {role}").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    page.get_by_role("heading", name="Start", level=1).wait_for()
    addresses = [link.get_attribute("href") or "" for link in page.locator(".nav a[href^='#/']").all()]
    shown = {address.removeprefix("#/") for address in addresses}
    assert shown == EVERYBODY | more
    for name in sorted(shown):
        window.open(name)
        window.settled()
        assert not page.locator(".notice.bad").count(), name
        assert findings(window) == [], name
    window.open("keys")
    window.settled()
    assert bool(page.get_by_role("button", name="New key").count()) == makes_keys
    window.open("providers")
    page.get_by_role("heading", name="There is no such page").wait_for()


def test_an_owner_invites_changes_roles_and_withdraws(admin: Window) -> None:
    page = admin.open("members")
    admin.settled()
    page.get_by_role("button", name="Invite someone").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill("bob@example.org")
    dialog.get_by_label("Organisation").select_option("acme")
    dialog.get_by_label("Role").select_option("ROLE_VIEWER")
    dialog.get_by_role("button", name="Make the link").click()
    assert "#invite=" in dialog.locator(".secret code").inner_text()
    dialog.get_by_role("button", name="Close").last.click()
    page.get_by_role("tab", name="Invitations").click()
    row = page.get_by_role("row", name=re.compile("bob@example.org"))
    row.get_by_text("acme: viewer").wait_for()
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    row.wait_for(state="detached")


def test_an_account_has_tokens_that_work_and_end(window: Window) -> None:
    page = window.page
    page.goto(f"{window.gateway.admin_url}/#{invited(window, 'carol@example.org', 'member')}")
    page.get_by_text("For carol@example.org.").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    page.get_by_role("heading", name="Start", level=1).wait_for()
    window.open("account")
    page.get_by_role("button", name="New token").click()
    page.get_by_role("dialog").get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make the token").click()
    token = page.locator(".secret code").inner_text()
    page.get_by_role("button", name="I have copied it").click()
    keys = f"{window.gateway.admin_url}/admin/v1/keys"
    headers = {"authorization": f"Bearer {token}"}
    assert httpx.get(keys, headers=headers, timeout=60).status_code == 200
    page.get_by_role("row", name=re.compile("laptop")).get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_text("You have no tokens").wait_for()
    assert httpx.get(keys, headers=headers, timeout=60).status_code == 401
    page.get_by_role("button", name="Sign out everywhere").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    page.get_by_label("E-mail").wait_for()
