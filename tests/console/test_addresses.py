"""Addresses that somebody else chose: nothing of them becomes a header, an element, a redirect elsewhere, or a way
around the token.
"""

from __future__ import annotations

import http.client
from urllib.parse import quote, urlsplit

import pytest

from tests.console.attacks.answers import ATTACK, arm, shown, wrongs
from tests.console.conftest import Window
from tests.gateway.process import GatewayProcess

_TEXT = quote(ATTACK.format(9_999), safe="")
_LINES = "%0d%0aset-cookie:%20trunkline_session=planted%0d%0alocation:%20//evil.example"
#: Paths as they stand in the request line. Each is asked for without a token.
PATHS = [
    "//evil.example",
    "//evil.example/%2e%2e",
    "/%2f%2fevil.example",
    "/\\evil.example",
    "/docs//evil.example",
    "/docs/..//evil.example",
    "/docs%2f%2fevil.example",
    "/docs?//evil.example",
    f"/docs/{_TEXT}",
    f"/docs/?q={_TEXT}",
    f"/docs/search.html?q={_TEXT}",
    f"/docs{_LINES}",
    f"/{_LINES}",
    f"/?next=//evil.example&return_to={_TEXT}",
    f"/{_TEXT}",
    f"/console/{_TEXT}",
    f"/console/..%2f..%2f{_TEXT}",
    f"/admin/v1/{_TEXT}",
    f"/admin/v1/keys{_LINES}",
    f"/admin/v1/oidc/{_TEXT}:callback",
    f"/admin/v1/oidc/corp:callback?error={_TEXT}&error_description={_TEXT}",
    f"/admin/v1/oidc/corp:callback?state={_TEXT}&code={_TEXT}&iss={_TEXT}&next=//evil.example",
    f"/admin/v1/oidc/corp:callback?error={_LINES}",
    f"/admin/v1/oidc/corp{_LINES}:callback?error=x",
    # Ways to what needs a token, by ways to what does not.
    "/docs/../admin/v1/keys",
    "/docs/%2e%2e/admin/v1/keys",
    "/docs/..%2fadmin/v1/keys",
    "/docs/..;/admin/v1/keys",
    "/console/../admin/v1/keys",
    "/console/v1/../../admin/v1/keys",
    "/console/v1/%2e%2e/%2e%2e/admin/v1/keys",
    "//admin/v1/keys",
    "/admin//v1/keys",
    "/./admin/v1/keys",
    "/admin/v1/keys/",
    "/admin/v1/keys;x",
    "/admin/v1/keys%00",
    "/admin/v1/keys%23",
    "/ADMIN/v1/keys",
    "/admin%2fv1%2fkeys",
    "/admin/v1/sign-in:options/../keys",
    "/admin/v1/sign-in:options%2f..%2fkeys",
    "/admin/v1/sign-in:options/%2e%2e/keys",
    "/healthz/../admin/v1/keys",
    "/metrics/../admin/v1/keys",
    "/metrics%2f..%2fadmin/v1/keys",
    "http://evil.example/admin/v1/keys",
    "/trunkline.admin.v1.Admin/ListKeys",
    "/docs/../trunkline.admin.v1.Admin/ListKeys",
    "/admin/v1/keys?x=/docs/",
]
#: Headers that make some servers believe another path, method, host or client.
_BELIEVED = {
    "x-original-url": "/admin/v1/keys",
    "x-rewrite-url": "/admin/v1/keys",
    "x-envoy-original-path": "/admin/v1/keys",
    "x-forwarded-host": "evil.example",
    "forwarded": "for=10.0.0.1;host=evil.example",
    "x-forwarded-for": "10.0.0.1",
    "x-trunkline-actor": "admin",
    "x-trunkline-client-address": "10.0.0.1",
    "x-forwarded-prefix": "//evil.example",
    "x-envoy-internal": "true",
    "x-envoy-external-address": "10.0.0.1",
}


@pytest.mark.parametrize("told", [{}, _BELIEVED], ids=["plain", "headers"])
def test_no_path_leads_elsewhere_or_around_the_token(gateway: GatewayProcess, told: dict[str, str]) -> None:
    host = urlsplit(gateway.admin_url).netloc
    for path in PATHS:
        for method in ("GET", "HEAD", "POST"):
            connection = http.client.HTTPConnection(host, timeout=60)
            connection.putrequest(method, "/", skip_host=False)
            # As it is: the library would refuse some of these.
            connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()  # type: ignore[attr-defined]
            for name, value in {**told, "content-length": "0"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read().decode()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            connection.close()
            where = (method, path, answer.status, body[:200])
            location = headers.get("location", "/")
            assert location.startswith("/"), where
            assert not location.startswith(("//", "/\\")), where
            assert not {"evil.example", "planted"} & {
                part for part in (location, headers.get("set-cookie", "")) if part
            }, where
            assert "planted" not in str(headers), where
            assert '"keys"' not in body, where
            assert answer.status in {200, 303, 308, 400, 401, 403, 404, 405, 411, 415, 426}, where
            is_page = headers.get("content-type", "").startswith("text/html")
            assert "x-owned" not in body or not is_page, where
            if is_page:
                assert "script-src 'self'" in headers["content-security-policy"], where
                assert "unsafe" not in headers["content-security-policy"], where
            if answer.status < 300 and body:
                assert headers.get("x-content-type-options") == "nosniff" or path.startswith("/trunkline."), where


#: `{}` is an attack.
FRAGMENTS = (
    "setup={}", "invite={}", "reset={}", "device={}", "sign-in-error={}", "sign-in-error=denied", "/{}", "{}",
    "/keys?{}={}", "/usage?by={}", "/models/{}/{}", "//evil.example", "javascript:owned()", "setup=%22%3E",
)  # fmt: skip


def test_no_fragment_becomes_an_element(window: Window) -> None:
    page = window.page
    arm(page)
    page.goto(f"{window.gateway.admin_url}/?next=javascript:owned()&error={_TEXT}")
    page.wait_for_selector("main")
    for fragment in FRAGMENTS:
        filled = fragment.replace("{}", _TEXT)
        page.evaluate("(hash) => { location.hash = hash; return new Promise(requestAnimationFrame); }", filled)
        if fragment.endswith("={}"):  # these are looked at when the page is loaded, too
            page.reload()
            page.wait_for_selector("main")
        assert wrongs(page) == [], fragment
        assert page.url.startswith(f"{window.gateway.admin_url}/"), fragment
        assert "x-owned" not in shown(page), fragment
