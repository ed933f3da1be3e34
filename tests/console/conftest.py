"""Fixtures: one gateway and one browser for all tests of the console, and a window for each test."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.console.tools import chromium
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess

#: Milliseconds of every wait in a test; generous, because the machine may be busy.
PATIENCE_MS = 60_000


@pytest.fixture(scope="package")
def provider() -> Iterator[ProviderProcess]:
    with ProviderProcess("a", api_keys=["sk-provider-a"]) as running:
        yield running


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: ProviderProcess) -> Iterator[GatewayProcess]:
    """A gateway with a file that manages a provider, a route, an organisation and its key; the API creates the
    rest.
    """
    target = {"provider": "a", "model": "gpt-4.1", "price": {"input": 2.0, "output": 8.0}}
    config = {
        "version": 1,
        "providers": [provider_entry(provider)],
        "routes": [{"model": "gpt-4.1", "targets": [target]}],
        "organisations": [
            {
                "name": "acme",
                "limits": [{"metric": "cost_usd", "per": "month", "amount": 500}],
                "keys": [{"name": "ci", "value": "sk-acme-ci-0123456789"}],
            }
        ],
    }
    data_dir = tmp_path_factory.mktemp("console") / "data"
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS) as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root needs this, also in containers.
        started = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"], timeout=3 * PATIENCE_MS
        )
        yield started
        started.close()


@dataclass
class Window:
    """A page of the browser, which collects the errors and requests that it should not produce."""

    page: Page
    gateway: GatewayProcess
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    #: Parts of errors that a test provokes.
    expected: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.gateway.admin_url}/", "data:", "blob:")):
            self.complaints.append(f"a request outside the gateway: {request.url}")

    def check(self) -> None:
        """Raises AssertionError if there was a console error or a request outside the gateway."""
        assert [each for each in self.complaints if not any(part in each for part in self.expected)] == []

    def stop_clock(self) -> None:
        """Keeps the page's time of day, so that what it computes of the hour stays the same; timers go on.

        To be called before the page is opened: a timer from before could no longer be cleared.
        """
        assert self.page.url == "about:blank"
        self.page.clock.set_fixed_time(time.time())

    def open(self, address: str = "") -> Page:
        """Opens a view, `keys` or `models/gpt-4.1`, and waits until it is complete."""
        self.page.goto(f"{self.gateway.admin_url}/#/{address}")
        return self.settled()

    def settled(self) -> Page:
        """Waits until the view of the current address, or the sign-in form, is complete."""
        view = json.dumps(self.page.evaluate("location.hash"))
        complete = ':not([aria-busy="true"])'
        self.page.wait_for_selector(f"main[data-view={view}]{complete}, main.door{complete}")
        return self.page

    def give_token(self, token: str) -> Page:
        """Sends the form with a token."""
        page = self.open()
        other = page.get_by_role("button", name="Sign in with the admin token")
        if other.count():  # only shown if there are accounts
            other.click()
        page.get_by_label("Admin token").fill(token)
        page.keyboard.press("Enter")
        return page

    def sign_in(self) -> Page:
        """Signs in with the admin token, through the form."""
        page = self.give_token(self.gateway.credentials["admin_token"])
        page.get_by_role("heading", name="Start", level=1).wait_for()
        return self.settled()

    @property
    def calls(self) -> list[str]:
        """Paths of the requested calls of the Admin API, in order."""
        before = f"{self.gateway.admin_url}/admin/v1/"
        return [each.removeprefix(before) for each in self.requests if each.startswith(before)]


@pytest.fixture
def options() -> Mapping[str, Any]:
    """Options of the window; tests override them by `pytest.mark.parametrize("options", …)`."""
    return {}


@pytest.fixture
def window(browser: Browser, gateway: GatewayProcess, options: Mapping[str, Any]) -> Iterator[Window]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en", **options})
    context.set_default_timeout(PATIENCE_MS)
    opened = Window(context.new_page(), gateway)
    opened.listen()
    yield opened
    context.cookies()  # all earlier complaints have arrived with its answer
    try:
        opened.check()
    finally:
        # A page that polls may be within a test's route now; its error would be raised in the next test. What it
        # asks afterwards reaches the gateway, which may refuse it.
        opened.page.unroute_all(behavior="ignoreErrors")
        context.close()


@pytest.fixture
def admin(window: Window) -> Window:
    """A window in which the admin has signed in."""
    window.sign_in()
    return window
