"""Requests that other sites' pages can make a browser send change nothing and read nothing."""

from __future__ import annotations

import pytest
from trunkline_proto.admin.v1 import admin_pb2 as admin

from tests.xds_server.accounts.conftest import EMAIL, PASSWORD, Gateway
from tests.xds_server.admin.conftest import TOKEN
from tests.xds_server.rest.conftest import TABLE

#: Headers sent by a form, an image, a script without permission, a sandboxed frame, or a subdomain.
FOREIGN = [
    {"x-trunkline-csrf": ""},
    {"x-trunkline-csrf": "", "content-type": ""},
    {"x-trunkline-csrf": "2"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://gateway.example:8082"},
    {"origin": "http://gateway.example"},
    {"origin": "http://gateway.example.evil.example:8081"},
    {"origin": "http://gateway.example:8081@evil.example"},
    {"origin": "http://[gateway.example:8081"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_another_sites_page_changes_nothing(gateway: Gateway, headers: dict[str, str]) -> None:
    browser = await gateway.set_up()
    body = {"organisation": {"name": "acme"}}
    answer = await browser("PUT", "/admin/v1/organisations/acme", body, headers)
    assert (answer.status, answer.code) == (403, "permission_denied")
    # Neither can it sign a person in as somebody else.
    signed = await gateway.browser()("POST", "/admin/v1/sign-in", {"email": EMAIL, "password": PASSWORD}, headers)
    assert signed.status == 403
    assert "set-cookie" not in signed.headers
    assert (await browser("PUT", "/admin/v1/organisations/acme", body)).status == 200


@pytest.mark.parametrize("method", sorted({each.verb for each in TABLE.bindings} - {"GET"}))
async def test_every_method_that_changes_asks_for_it(gateway: Gateway, method: str) -> None:
    browser = await gateway.set_up()
    path = next(each.template.replace("{", "").replace("}", "") for each in TABLE.bindings if each.verb == method)
    body: dict[str, object] | None = {} if method != "DELETE" else None
    assert (await browser(method, path, body, {"x-trunkline-csrf": ""})).code == "permission_denied"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_sites_page_reads_nothing(gateway: Gateway, site: str) -> None:
    browser = await gateway.set_up()
    assert (await browser("GET", "/admin/v1/keys", headers={"sec-fetch-site": site})).status == 403
    for own in ("same-origin", "none", ""):
        headers = {"sec-fetch-site": own, "origin": "", "x-trunkline-csrf": ""}
        assert (await browser("GET", "/admin/v1/keys", headers=headers)).status == 200


async def test_behind_a_proxy_that_ends_tls(gateway: Gateway) -> None:
    """The page requests the same host, but no header names the scheme."""
    browser = await gateway.set_up()
    headers = {"host": "console.example", "origin": "https://console.example"}
    assert (await browser("POST", "/admin/v1/sign-out", {}, headers)).status == 200


async def test_a_token_needs_no_header(gateway: Gateway) -> None:
    browser = gateway.browser(**{"x-trunkline-csrf": "", "origin": "", "sec-fetch-site": ""})
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = await browser("PUT", "/admin/v1/organisations/acme", {"organisation": {"name": "acme"}}, headers)
    assert answer.status == 200


async def test_a_wrong_token_is_not_made_good_by_the_cookie(gateway: Gateway) -> None:
    browser = await gateway.set_up()
    assert (await browser("GET", "/admin/v1/me", headers={"authorization": "Bearer wrong"})).status == 401


async def test_no_page_of_another_origin_is_let_in(gateway: Gateway) -> None:
    """A browser asks before it sends our header to another origin, and no answer allows it."""
    browser = await gateway.set_up()
    headers = {
        "origin": "https://evil.example", "sec-fetch-site": "cross-site", "access-control-request-method": "POST",
        "access-control-request-headers": "x-trunkline-csrf",
    }  # fmt: skip
    answer = await browser("OPTIONS", "/admin/v1/keys", headers=headers)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_the_admin_token_over_grpc_is_as_before(gateway: Gateway) -> None:
    assert (await gateway.admin.ListKeys(admin.ListKeysRequest())) == admin.ListKeysResponse()
