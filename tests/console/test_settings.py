"""The settings of the whole gateway: each form changes its own part and leaves the others unchanged."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.console.conftest import Window


def _stored(window: Window) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {window.gateway.credentials['admin_token']}"}
    answer = httpx.get(f"{window.gateway.admin_url}/admin/v1/gateway", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    stored: dict[str, Any] = answer.json()["gateway"]
    return stored


def test_each_form_changes_its_own_part(admin: Window) -> None:
    page = admin.open("settings")

    def save(title: str) -> None:
        card = page.locator(".card", has=page.get_by_role("heading", name=title, exact=True))
        card.get_by_role("button", name="Save").click()
        page.get_by_text("Settings saved").last.wait_for()
        page.locator(".announcement").first.wait_for(state="detached")
        admin.settled()

    page.get_by_role("button", name="Add a default").click()
    page.get_by_label("Endpoint").select_option("embeddings")
    page.get_by_label("Model", exact=True).fill("gpt-4.1")
    save("Default models")
    page.get_by_label("Webhook").fill("https://hooks.example.org/alerts")
    page.get_by_label("Signing secret").fill("a-secret-of-the-console-tests")
    save("Alerts")
    page.get_by_text("alerts are signed").wait_for()
    page.get_by_label("Origins").fill("https://app.example.org\nhttp://localhost:*\n")
    save("Browser apps (CORS)")
    page.get_by_label("Memory for answers").fill("64")
    save("Cached answers")
    page.get_by_label("Address of the console").fill("https://console.example.org")
    save("Sign-in")
    stored = _stored(admin)
    assert stored["defaults"] == [{"endpoint": "embeddings", "model": "gpt-4.1"}]
    assert stored["alerts"] == {"webhook": "https://hooks.example.org/alerts", "signed": True}
    assert stored["cors"]["origins"] == ["https://app.example.org", "http://localhost:*"]
    assert stored["cache"]["most_bytes"] == str(64 * 1024 * 1024)
    assert stored["accounts"]["console_url"] == "https://console.example.org"
    assert "a-secret-of-the-console-tests" not in page.content()
    page.get_by_role("button", name="Remove the default of embeddings").click()
    save("Default models")
    page.get_by_label("Address of the console").fill("")
    save("Sign-in")
    assert "defaults" not in _stored(admin)


def test_an_identity_provider_is_added_changed_and_removed(admin: Window) -> None:
    page = admin.open("settings")
    page.get_by_role("button", name="Add an identity provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("corp")
    dialog.get_by_label("Issuer").fill("https://login.example.org")
    dialog.get_by_label("Client id").fill("trunkline")
    dialog.get_by_label("Client secret").fill("a-client-secret-of-tests")
    dialog.get_by_text("/admin/v1/oidc/corp:callback").wait_for()
    dialog.get_by_role("button", name="Add a group").click()
    dialog.get_by_label("Group", exact=True).fill("ml-team")
    dialog.get_by_label("Role").select_option("ROLE_OPERATOR")
    dialog.get_by_label("Organisation").select_option("acme")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    page.get_by_text("secret stored").wait_for()
    (provider,) = _stored(admin)["oidc"]
    assert (provider["name"], provider["has_secret"]) == ("corp", True)
    assert provider["groups"] == [{"group": "ml-team", "organisation": "acme", "role": "ROLE_OPERATOR"}]
    page.get_by_role("button", name="Edit: corp").click()
    dialog.get_by_label("Text of the button").fill("Corporate login")
    dialog.get_by_role("button", name="Add a group").click()
    dialog.get_by_label("Group", exact=True).last.fill("admins")
    dialog.get_by_label("Role").last.select_option("admin")
    dialog.get_by_text("Scopes, sign-up").click()
    dialog.get_by_label("Scopes besides openid").fill("profile email groups")
    dialog.get_by_label("Domains whose people may sign up").fill("example.org\nexample.com")
    dialog.get_by_label("They join").select_option("acme")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    page.get_by_text("Corporate login").wait_for()
    (provider,) = _stored(admin)["oidc"]
    assert (provider["title"], provider["has_secret"]) == ("Corporate login", True)
    assert provider["groups"][1:] == [{"group": "admins", "admin": True}]
    assert provider["scopes"] == ["profile", "email", "groups"]
    assert provider["sign_up"] == {
        "domains": ["example.org", "example.com"],
        "organisation": "acme",
        "role": "ROLE_MEMBER",
    }
    page.get_by_role("button", name="Remove: corp").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("None: people sign in with a password.").wait_for()
    assert "oidc" not in _stored(admin)


def test_tokens_of_a_provider_are_accepted_and_no_longer(admin: Window) -> None:
    page = admin.open("settings")
    page.get_by_role("button", name="Accept tokens of a provider").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("corp")
    dialog.get_by_label("Issuer").fill("https://login.example.org")
    dialog.get_by_label("Audiences").fill("trunkline-api")
    dialog.get_by_label("Claim", exact=True).fill("groups")
    dialog.get_by_label("Has the value").fill("research")
    dialog.get_by_label("Organisation").select_option("acme")
    dialog.get_by_label("Name of the key").fill("ci")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    page.get_by_text("its keys have not been read yet").wait_for()
    (issuer,) = _stored(admin)["jwt"]
    assert (issuer["name"], issuer["audiences"]) == ("corp", ["trunkline-api"])
    assert issuer["grants"] == [{"claim": "groups", "value": "research", "organisation": "acme", "key": "ci"}]
    page.get_by_role("button", name="Edit: corp").click()
    assert dialog.get_by_label("Name", exact=True).is_disabled()
    assert not dialog.get_by_role("button", name="Remove rule 1").count()  # one always stays
    dialog.get_by_role("button", name="Add a rule").click()
    dialog.get_by_label("Name of the key").last.fill("ci")
    dialog.get_by_text("URL of its keys, claim of the user").click()
    dialog.get_by_label("Claim that names the user").fill("email")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    page.locator(".announcement").first.wait_for(state="detached")
    (issuer,) = _stored(admin)["jwt"]
    assert issuer["user_claim"] == "email"
    assert [each.get("claim", "") for each in issuer["grants"]] == ["groups", ""]
    page.get_by_role("button", name="Edit: corp").click()
    dialog.get_by_role("button", name="Remove rule 1").click()
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="detached")
    assert [each.get("claim", "") for each in _stored(admin)["jwt"][0]["grants"]] == [""]
    page.get_by_role("button", name="Remove: corp").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("None: clients send API keys.").wait_for()
    assert "jwt" not in _stored(admin)


def test_saving_one_form_keeps_what_is_typed_in_another(admin: Window) -> None:
    page = admin.open("settings")
    page.get_by_label("Webhook").fill("https://half.example.org/")
    page.get_by_label("Memory for answers").fill("32")
    card = page.locator(".card", has=page.get_by_role("heading", name="Cached answers", exact=True))
    card.get_by_role("button", name="Save").click()
    page.get_by_text("Settings saved").last.wait_for()
    page.locator(".announcement").first.wait_for(state="detached")
    admin.settled()
    assert page.get_by_label("Webhook").input_value() == "https://half.example.org/"


def test_what_is_refused_stands_in_its_form(admin: Window) -> None:
    admin.expected.append("400")
    page = admin.open("settings")
    page.get_by_label("Origins").fill("app.example.org")
    card = page.locator(".card", has=page.get_by_role("heading", name="Browser apps (CORS)"))
    card.get_by_role("button", name="Save").click()
    card.get_by_role("alert").get_by_text(re.compile("cors.origins")).wait_for()
