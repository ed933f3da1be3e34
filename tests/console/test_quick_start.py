"""From the set-up link to a streamed answer, in the steps of a newcomer."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import Route

from tests.console.conftest import Window
from tests.fakes.provider_process import ProviderProcess

PASSWORD = "correct horse battery"


def test_from_the_set_up_link_to_a_streamed_answer(window: Window, provider: ProviderProcess) -> None:
    link = window.gateway.run("users", "setup-link").stdout
    found = re.search(r"#setup=[\w-]+", link)
    assert found is not None
    page = window.page
    page.goto(f"{window.gateway.admin_url}/{found[0]}")
    page.get_by_role("heading", name="Make the first account").wait_for()
    assert "setup=" not in page.url
    page.get_by_label("E-mail").fill("alice@example.org")
    page.get_by_label("Name").fill("Alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    page.get_by_role("heading", name="Start", level=1).wait_for()
    page.get_by_text("Alice", exact=True).wait_for()

    window.open("providers")
    page.get_by_role("button", name="Add a provider").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("second")
    dialog.get_by_label("Base URL").fill(provider.base_url)
    dialog.get_by_label("API keys of the provider").fill("sk-provider-a")
    dialog.get_by_text("Quota, health check, CA").click()
    dialog.get_by_label("Requests per minute").fill("1000")
    dialog.get_by_role("button", name="Save").click()
    page.get_by_role("row", name=re.compile("second")).get_by_text("1 stored").wait_for()
    assert "sk-provider-a" not in page.content()

    window.open("models")
    page.get_by_role("button", name="New route").first.click()
    dialog.get_by_label("Model", exact=True).fill("newcomer")
    dialog.get_by_label("Where").select_option("second")
    dialog.get_by_label("Model there").fill("gpt-4.1")
    dialog.get_by_label("USD / 1M in").fill("2")
    dialog.get_by_label("USD / 1M out").fill("8")
    dialog.get_by_role("button", name="Review the changes").click()
    dialog.get_by_text("New: route newcomer").wait_for()
    dialog.get_by_role("button", name="Apply").click()
    page.get_by_role("row", name=re.compile("newcomer")).get_by_text("second/gpt-4.1").wait_for()

    window.open("playground")
    page.get_by_role("button", name="Make a key for a day").click()
    page.get_by_text("is made, for a day").wait_for()
    page.get_by_label("Model").select_option("newcomer")
    page.get_by_role("button", name="Compare another model").click()
    page.get_by_label("Question").fill("How are you?")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Hello from provider a.").nth(1).wait_for()
    page.locator(".column .took").first.get_by_text("second/gpt-4.1").wait_for()
    page.locator(".column").first.get_by_text(re.compile(r"^\$0\.0000")).wait_for()
    page.get_by_role("button", name="Copy as code").click()
    page.get_by_role("dialog").wait_for()
    assert "How are you?" in page.locator("dialog .code pre").inner_text()
    page.keyboard.press("Escape")

    page.get_by_role("link", name="Start").first.click()
    page.get_by_text("Requests in the last fourteen days").wait_for()
    while page.locator(".checklist .done").count() < 4:  # the ledger follows
        page.reload()
        window.settled()

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("E-mail").fill("alice@example.org")
    page.get_by_label("Password").fill("not her password")
    window.expected.append("401")
    page.keyboard.press("Enter")
    page.get_by_text("address or the password is wrong").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Start", level=1).wait_for()


def test_one_request_is_explained(admin: Window) -> None:
    page = admin.open("playground")
    page.get_by_role("button", name="Make a key for a day").click()
    page.get_by_text("is made, for a day").wait_for()
    page.get_by_label("Model").select_option("gpt-4.1")
    page.get_by_label("Question").fill("Once more")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("link", name="Explain this request").click()
    page.get_by_role("heading", name="Request", exact=True).wait_for()
    admin.expected.append("404")  # until the record has arrived
    while not page.locator(".way").count():
        again = page.get_by_role("button", name=re.compile("Refresh|Try again")).first
        again.click()
        admin.settled()
    page.locator(".way").get_by_text("a/gpt-4.1").wait_for()
    assert "Once more" not in page.content()

    # The page looks again by itself while the record is missing.
    missing = [404, 404]

    def answer(route: Route) -> None:
        if missing:
            route.fulfill(status=missing.pop(), json={"error": {"code": "not_found", "message": "none yet"}})
        else:
            route.continue_()

    page.route("**/admin/v1/requests/*", answer)
    page.reload()
    page.locator(".way").get_by_text("a/gpt-4.1").wait_for()
    assert not missing


def test_the_targets_of_a_model_answer_the_same_question_side_by_side(admin: Window) -> None:
    """The second target has no weight, so only a request that names it goes there."""
    gateway = admin.gateway
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    api = f"{gateway.admin_url}/admin/v1"
    targets = [{"provider": "a", "model": "one"}, {"provider": "a", "model": "two", "weight": 0}]
    route = {"model": "pair", "targets": targets}
    assert httpx.post(f"{api}/routes", json={"route": route}, headers=headers, timeout=60).status_code == 200
    page = admin.open("playground")
    page.get_by_role("button", name="Make a key for a day").click()
    page.get_by_text("is made, for a day").wait_for()
    page.get_by_label("Model", exact=True).select_option("pair")
    page.get_by_role("button", name="Compare the targets of pair").click()
    page.get_by_label("Question").fill("How are you?")
    page.get_by_role("button", name="Send").click()
    for target in ("a/one", "a/two"):
        column = page.get_by_role("region", name=f"pair, {target}", exact=True)
        column.get_by_role("link", name="Explain this request").wait_for()
        column.locator(".took").get_by_text(target, exact=True).wait_for()
    page.get_by_role("button", name="Copy as code").click()
    assert "pair@a/one" in page.locator("dialog .code pre").inner_text()
    assert (
        httpx.post(f"{api}/routes:delete", json={"model": "pair"}, headers=headers, timeout=60).status_code == 200
    )
