"""Each route of REST, as a page of another site may call it with the browser's cookie: made of the route table, so
that new calls are in it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.xds_server.accounts.conftest import Gateway, serving
from tests.xds_server.accounts.people import town
from tests.xds_server.rest.conftest import TABLE
from tests.xds_server.store.databases import new_sqlite
from xds_server.store import Store
from xds_server.store.connection import DatabaseSnapshot

CHANGING = [each for each in TABLE.bindings if each.verb != "GET"]
READING = [each for each in TABLE.bindings if each.verb == "GET"]
_EVIL = "https://evil.example"
#: Types that a page may send without asking first (the Fetch standard's safelisted ones).
_TYPES = (
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/plain;x=json",
)
_FORM = {"origin": _EVIL, "sec-fetch-site": "cross-site", "x-trunkline-csrf": ""}
#: Headers by what sends them; an empty header is left out.
PAGES: dict[str, dict[str, str]] = {
    **{f"a form, {kind}": {**_FORM, "content-type": kind} for kind in _TYPES},
    "a form, old browser": {"content-type": _TYPES[2], "origin": "", "sec-fetch-site": "", "x-trunkline-csrf": ""},
    "a form without a type": {"content-type": "", "origin": "", "sec-fetch-site": "", "x-trunkline-csrf": ""},
    "a form of a sandboxed frame": {"origin": "null", "sec-fetch-site": "cross-site", "x-trunkline-csrf": ""},
    "a script that was let in": {"origin": _EVIL, "sec-fetch-site": ""},
    "a script, other port": {"origin": "http://gateway.example:8082", "sec-fetch-site": "same-site"},
    "a script of a frame": {"origin": "null", "sec-fetch-site": ""},
    "an address typed or a bookmark": {"origin": "", "sec-fetch-site": "none"},
    "an extension": {"origin": "chrome-extension://abcdefgh", "sec-fetch-site": "none"},
    "a header sent twice over": {"x-trunkline-csrf": "1, 1"},
    "an origin with the host in it": {"origin": f"{_EVIL}#gateway.example:8081", "sec-fetch-site": ""},
}  # fmt: skip
#: Ways to say another method, which some frameworks obey.
_OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    store = Store.open(new_sqlite(tmp_path / "trunkline.db"), key_file=tmp_path / "secret.key")
    async for each in serving(store, tmp_path):
        yield each
    store.close()


def _path(template: str) -> str:
    return re.sub(r"\{[a-z_.]+\}", "acme", template)


def _everything(snapshot: DatabaseSnapshot) -> dict[str, Any]:
    """Returns the whole database, without the moments at which sessions were used."""
    names = [name for (name,) in snapshot.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {"user_session": "hash, user_id, expires_at"}
    return {
        each: sorted(map(str, snapshot.rows(f'SELECT {columns.get(each, "*")} FROM "{each}"'))) for each in names
    }


@pytest.mark.slow
async def test_no_call_that_changes_is_made_by_another_sites_page(gateway: Gateway) -> None:
    browser = (await town(gateway)).browsers["admin"]
    before = gateway.store.read(_everything)
    cookies = dict(browser.cookies)
    for binding in CHANGING:
        body: dict[str, Any] | None = {} if binding.has_body else None
        for who, headers in PAGES.items():
            answer = await browser(binding.verb, _path(binding.template), body, headers)
            assert (answer.status, answer.code) == (403, "permission_denied"), (binding.method.name, who)
            assert "set-cookie" not in answer.headers
    assert gateway.store.read(_everything) == before
    assert browser.cookies == cookies


@pytest.mark.slow
async def test_reading_changes_nothing_and_another_sites_page_reads_nothing(gateway: Gateway) -> None:
    browser = (await town(gateway)).browsers["admin"]
    before = gateway.store.read(_everything)
    cookies = dict(browser.cookies)
    for binding in READING:
        for method in ("GET", "HEAD"):
            path = _path(binding.template)
            headers = {"origin": "", "x-trunkline-csrf": "", "content-type": ""}
            assert (await browser(method, path, headers=headers)).status != 403, binding.method.name
            for site in ("cross-site", "same-site"):
                answer = await browser(method, path, headers={**headers, "sec-fetch-site": site})
                assert answer.status == 403, (binding.method.name, site)
    assert gateway.store.read(_everything) == before
    assert browser.cookies == cookies


@pytest.mark.slow
async def test_a_method_is_what_the_request_line_says(gateway: Gateway) -> None:
    browser = (await town(gateway)).browsers["admin"]
    before = gateway.store.read(_everything)
    own = {"origin": "", "x-trunkline-csrf": "", "content-type": "", "sec-fetch-site": "none"}
    for binding in CHANGING:
        path = _path(binding.template)
        for method in ("GET", "HEAD", "OPTIONS"):
            for header in _OVERRIDES:
                answer = await browser(method, path, headers={**own, header: binding.verb})
                assert answer.status != 403, (binding.method.name, method)
            answer = await browser(method, f"{path}?_method={binding.verb}", headers=own)
            assert answer.status in {200, 204, 400, 404, 405}, (binding.method.name, method)
    assert gateway.store.read(_everything) == before
