"""The documentation in a browser, under the policy with which the gateway serves it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from scripts.build_docs import built_once as made
from tests.console.attacks.answers import ATTACK, arm, wrongs
from tests.console.conftest import PATIENCE_MS
from tests.console.tools import CONSOLE
from xds_server.console import documentation
from xds_server.console.answers import HEADERS


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the site, served with the gateway's own files and headers."""
    files = documentation.load(made())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = files.get(self.path.partition("?")[0])
            self.send_response(200 if file else 404)
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.send_header("content-type", file.content_type if file else "text/plain")
            self.end_headers()
            self.wfile.write(file.content if file else b"")

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{documentation.PREFIX}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_pages_and_search_work_under_the_policy(browser: Browser, address: str) -> None:
    context = browser.new_context(locale="en")
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(address) else complaints.append(asked.url))
    page.goto(f"{address}keys.html")
    page.get_by_role("heading", name="API keys", level=1).wait_for()
    # What furo hides by style attributes takes no room.
    assert page.locator(".page").bounding_box()["y"] == 0  # type: ignore[index]
    page.get_by_placeholder("Search").fill("rotation")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=re.compile("Rotation")).first.click()
    page.get_by_role("heading", level=1).wait_for()
    context.close()
    assert complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("address_of", ["{}search.html?q={}", "{}keys.html?highlight={}", "{}keys.html?q={}#{}"])
def test_what_a_link_says_becomes_no_element(browser: Browser, address: str, address_of: str) -> None:
    context = browser.new_context(locale="en")
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    arm(page)
    text = quote(ATTACK.format(1), safe="")
    page.goto(address_of.format(address, text, text))
    page.wait_for_load_state("networkidle")
    assert wrongs(page) == []
    context.close()


@pytest.mark.slow
def test_every_page_of_the_console_has_its_page_of_the_documentation() -> None:
    pages = set(re.findall(r'id: "(\w+)", icon:', (CONSOLE / "src/pages.js").read_text()))
    helps = dict(re.findall(r'^  (\w+): "([\w-]+)",', (CONSOLE / "src/help.js").read_text(), re.MULTILINE))
    assert helps.keys() == pages
    for page in helps.values():
        assert (made() / f"{page}.html").is_file(), page
