"""A provider's form: quotas of all its credentials and of single ones, and what saving stores and removes."""

from __future__ import annotations

from typing import Any

import httpx

from tests.console.conftest import Window


def _stored(window: Window, name: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {window.gateway.credentials['admin_token']}"}
    answer = httpx.get(f"{window.gateway.admin_url}/admin/v1/providers", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    (found,) = [each for each in answer.json()["providers"] if each["name"] == name]
    return dict(found)


def test_a_credential_gets_a_quota_of_its_own(admin: Window) -> None:
    page = admin.open("providers")
    page.get_by_role("button", name="Add a provider").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("two-keys")
    dialog.get_by_label("Base URL").fill("http://127.0.0.1:9/v1")
    dialog.get_by_label("API keys of the provider").fill("sk-first-of-tests\nsk-second-of-tests\n")
    dialog.get_by_text("Quota, health check, CA").click()
    # Which credential is which is known once they are stored.
    assert not dialog.get_by_role("group", name="Quota of credential").count()
    dialog.get_by_role("group", name="Quota of each credential").get_by_label("Requests per minute").fill("60")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    assert _stored(admin, "two-keys")["quota"] == [
        {"metric": "METRIC_REQUESTS", "per_seconds": "60", "amount": "60"}
    ]
    page.get_by_role("button", name="Edit: two-keys").click()
    dialog.get_by_text("Quota, health check, CA").click()
    second = dialog.get_by_role("group", name="Quota of credential 2, instead")
    second.get_by_label("Tokens per 24 hours").fill("1000000")
    second.get_by_label("Requests per minute").fill("5")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    stored = _stored(admin, "two-keys")
    assert stored["credential_count"] == 2
    (own,) = stored["credential_quotas"]
    assert own["credential"] == 2
    assert {(each["metric"], each["amount"]) for each in own["quota"]} == {
        ("METRIC_TOKENS", "1000000"),
        ("METRIC_REQUESTS", "5"),
    }
    assert "sk-first-of-tests" not in page.content()
