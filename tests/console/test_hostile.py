"""Names are shown as text, whatever they contain, and pages of other origins get nothing."""

from __future__ import annotations

import httpx

from tests.console.conftest import Window
from tests.console.test_pages import PAGES
from tests.waiting import eventually

HOSTILE = '"><img src=x onerror="document.title=`owned`"><script>document.title="owned"</script>'


def test_names_that_look_like_html_are_shown_as_they_are(admin: Window) -> None:
    gateway = admin.gateway
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    api = f"{gateway.admin_url}/admin/v1"
    model = f"m{HOSTILE}"
    route = {"model": model, "targets": [{"provider": "a", "model": HOSTILE}, {"nodes": HOSTILE, "tier": 1}]}
    assert httpx.post(f"{api}/routes", json={"route": route}, headers=headers, timeout=60).status_code == 200
    key = {"organisation": "acme", "name": "hostile", "models": [HOSTILE]}
    made = httpx.post(f"{api}/keys", json={"key": key}, headers=headers, timeout=60)
    assert made.status_code == 200, made.text
    body = {"model": model, "user": HOSTILE, "messages": [{"role": "user", "content": HOSTILE}]}
    asked = {"authorization": f"Bearer {made.json()['value']}", "x-trunkline-tag": "<b onmouseover=alert(1)>tag"}
    httpx.post(f"{gateway.base_url}/chat/completions", json=body, headers=asked, timeout=60)
    page = admin.page
    for name in [*PAGES, "requests?show=finished", "usage?by=DIMENSION_TAG", f"requests/{HOSTILE}", HOSTILE]:
        if name.startswith("requests/"):
            admin.expected.append("404")
        admin.open(name)
        admin.settled()
        assert page.title() != "owned"
        assert page.locator("img[src=x]").count() == 0, name
    admin.open("models")
    page.get_by_role("link", name=model).click()
    page.get_by_role("heading", name=model, level=1).wait_for()
    eventually(lambda: page.title().startswith(model))  # it follows a rendering
    for dialog in page.get_by_role("button", name="Change").all():
        dialog.click()
        assert page.get_by_label("Model there").first.input_value() == HOSTILE
        page.keyboard.press("Escape")
    assert (
        httpx.post(f"{api}/routes:delete", json={"model": model}, headers=headers, timeout=60).status_code == 200
    )


def test_a_target_that_answers_html_makes_no_page_of_the_consoles_origin(window: Window) -> None:
    gateway = window.gateway
    answer = httpx.get(
        f"{gateway.admin_url}/console/v1/models",
        headers={"authorization": f"Bearer {gateway.api_key}"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_cookie_goes_to_a_target(window: Window) -> None:
    """A provider gets what the clients' listener would send it."""
    gateway = window.gateway
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {gateway.api_key}", "cookie": "trunkline_session=secret"}
    answer = httpx.post(f"{gateway.admin_url}/console/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert (answer.status_code, answer.headers["x-trunkline-target"]) == (200, "a/gpt-4.1")
    assert answer.headers["x-trunkline-request-id"] != answer.headers["x-request-id"]
