"""The ways to sign in: by a link for another password, through an identity provider, and for a waiting program."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.clients import environments
from tests.console.conftest import Window
from tests.console.test_roles import PASSWORD, invited
from tests.gateway.process import GatewayProcess

ANOTHER = "another battery staple"
CLIENT_ID, SECRET = "console", "a-secret-of-the-console"


def join(window: Window, email: str, role: str = "member") -> None:
    """Accepts an invitation, after which the person is signed in."""
    page = window.page
    page.goto(f"{window.gateway.admin_url}/#{invited(window, email, role)}")
    page.get_by_text(f"For {email}.").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make my account").click()
    page.get_by_role("heading", name="Start", level=1).wait_for()


def call(gateway: GatewayProcess, method: str, path: str, body: Any = None) -> Any:
    """Calls the Admin API with the admin token."""
    headers = {"authorization": f"Bearer {gateway.credentials['admin_token']}"}
    answer = httpx.request(method, f"{gateway.admin_url}/admin/v1/{path}", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_link_for_another_password(window: Window) -> None:
    join(window, "dora@example.org")
    page = window.page
    link = call(window.gateway, "POST", "users/dora@example.org:reset", {})["url"].partition("#")[2]
    assert link.startswith("reset=")
    page.goto("about:blank")
    page.goto(f"{window.gateway.admin_url}/#{link}")
    page.get_by_role("heading", name="Choose a new password").wait_for()
    # The secret leaves the address bar before the first request.
    assert link not in page.url
    page.get_by_text("For dora@example.org.").wait_for()
    page.get_by_label("Password").fill(ANOTHER)
    page.get_by_role("button", name="Set the password").click()
    page.get_by_role("heading", name="Start", level=1).wait_for()
    page.get_by_role("button", name="Sign out").click()
    window.expected.append("status of 401")
    for password, heading in ((PASSWORD, "Sign in"), (ANOTHER, "Start")):
        page.get_by_label("E-mail").fill("dora@example.org")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in", exact=True).click()
        if heading == "Sign in":
            page.get_by_role("alert").wait_for()
        page.get_by_role("heading", name=heading, level=1).wait_for()


@pytest.mark.parametrize("approved", [True, False], ids=["approved", "refused"])
def test_a_program_waits_for_approval(window: Window, approved: bool) -> None:
    join(window, f"program-{approved}@example.org".lower())
    api = f"{window.gateway.admin_url}/admin/v1/device"
    program = httpx.Client(headers={"x-trunkline-csrf": "1"}, timeout=60)
    begun = program.post(f"{api}:begin", json={"client": "trunkline login on a-laptop <b>"}).json()
    page = window.page
    page.goto("about:blank")
    page.goto(f"{window.gateway.admin_url}/#{begun['url'].partition('#')[2]}")
    page.get_by_role("heading", name="Let a program sign in?").wait_for()
    page.get_by_text(begun["user_code"], exact=True).wait_for()
    page.get_by_text("trunkline login on a-laptop <b>").wait_for()
    page.get_by_role("button", name="Let it in" if approved else "Refuse").click()
    page.get_by_text("It is signed in." if approved else "It is refused.").wait_for()
    polled = program.post(f"{api}:poll", json={"device_code": begun["device_code"]})
    program.close()
    if not approved:
        assert polled.status_code != 200
        return
    headers = {"authorization": f"Bearer {polled.json()['value']}"}
    me = httpx.get(f"{window.gateway.admin_url}/admin/v1/me", headers=headers, timeout=60).json()["user"]
    assert me["email"] == "program-true@example.org"


@pytest.fixture
def certified(gateway: GatewayProcess) -> Iterator[str]:
    """The issuer of npm's `oidc-provider`, through which people of example.org may sign in."""
    directory = environments.identity_provider()
    callback = f"{gateway.admin_url}/admin/v1/oidc/certified:callback"
    process = subprocess.Popen(
        [environments.node_program(), str(directory / "provider.mjs"), callback, CLIENT_ID, SECRET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=directory,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    issuer = process.stdout.readline().strip()
    stored = call(gateway, "GET", "gateway")["gateway"]
    provider = {
        "name": "certified",
        "title": "Example Corp",
        "issuer": issuer,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "sign_up": {"domains": ["example.org"], "organisation": "acme", "role": "ROLE_VIEWER"},
    }
    accounts = {"console_url": gateway.admin_url}
    call(gateway, "PUT", "gateway", {"gateway": {**stored, "oidc": [provider], "accounts": accounts}})
    yield issuer
    version = call(gateway, "GET", "gateway")["gateway"]["version"]
    call(gateway, "PUT", "gateway", {"gateway": {**stored, "version": version}})
    process.stdin.close()
    process.stdout.close()
    assert process.wait() == 0


def test_a_certified_provider_signs_somebody_in(window: Window, certified: str) -> None:
    window.expected.append(f"a request outside the gateway: {certified}/")
    page = window.open()
    page.get_by_role("button", name="Sign in with Example Corp").click()
    page.get_by_role("heading", name="Start", level=1).wait_for()
    assert page.url == f"{window.gateway.admin_url}/#/"
    window.open("account")
    page.get_by_text("bob@example.org").first.wait_for()
    page.get_by_text("acme: viewer").first.wait_for()
    (cookie,) = [each for each in page.context.cookies() if each["name"].endswith("trunkline_session")]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    page.get_by_role("button", name="Sign out", exact=True).click()
    sign_in = page.get_by_role("button", name="Sign in with Example Corp")
    sign_in.wait_for()

    # The visitor comes back to what they came for.
    window.open("usage?days=30")
    sign_in.click()
    page.get_by_role("heading", name="Usage and cost", level=1).wait_for()
    assert page.url == f"{window.gateway.admin_url}/#/usage?days=30"
    page.get_by_role("button", name="Sign out", exact=True).click()
    sign_in.wait_for()
    begun = httpx.post(
        f"{window.gateway.admin_url}/admin/v1/device:begin",
        json={"client": "trunkline login"},
        headers={"x-trunkline-csrf": "1"},
        timeout=60,
    ).json()
    page.goto("about:blank")
    page.goto(f"{window.gateway.admin_url}/#{begun['url'].partition('#')[2]}")
    sign_in.click()
    page.get_by_role("heading", name="Let a program sign in?").wait_for()
    page.get_by_text(begun["user_code"], exact=True).wait_for()


def test_an_invitation_ends_with_its_inviter(window: Window) -> None:
    join(window, "erin@example.org", "owner")
    page = window.open("members")
    page.get_by_role("button", name="Invite someone").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill("frank@example.org")
    dialog.get_by_role("button", name="Make the link").click()
    made = dialog.get_by_text("#invite=")
    made.wait_for()
    link = made.inner_text().strip()
    call(window.gateway, "DELETE", "organisations/acme/members/erin@example.org")
    window.expected.append("status of 401")
    page.goto("about:blank")
    page.context.clear_cookies()
    page.goto(f"{window.gateway.admin_url}/#{link.partition('#')[2]}")
    page.get_by_text("this link was used, has expired").wait_for()
