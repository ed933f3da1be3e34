"""REST through Envoy: refusals have one shape, from Envoy and the control plane alike; keys rotate."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.gateway.process import GatewayProcess
from xds_server.accounts.permissions import MAX_BYTES


class Rest:
    """Sends requests to the admin listener."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._host = urlsplit(gateway.admin_url).netloc
        self._token = gateway.credentials["admin_token"]

    def __call__(
        self, method: str, path: str, body: Any = None, *, token: bool = True, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Sends a request. Returns status, JSON (None for no body) and headers."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {self._token}"
        connection = HTTPConnection(self._host, timeout=60)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may refuse before it has read everything
                connection.request(
                    method, path, body if isinstance(body, bytes) or body is None else json.dumps(body), sent
                )
            answer = connection.getresponse()
            received = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        if received:
            assert found["content-type"] == "application/json"
        return answer.status, json.loads(received) if received else None, found

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str, str]:
        """Returns status, code and message of a refusal in the documented shape."""
        status, answer, _ = self(method, path, body, **options)
        assert set(answer) == {"error"}
        error = answer["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return status, error["code"], error["message"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path_factory.mktemp("rest") / "data") as running:
        yield running


@pytest.fixture
def rest(gateway: GatewayProcess) -> Rest:
    return Rest(gateway)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    ["/metrics/more", "/admin/v1/nothing", "/admin/v1/keys/", "/v1/models", "/trunkline.admin.v1.Admin/ListKeys"],
)
def test_paths_that_are_not_served(rest: Rest, method: str, path: str) -> None:
    assert rest.refused(method, path, token=False)[:2] == (401, "unauthenticated")
    assert rest.refused(method, path)[:2] == (404, "not_found")


def test_methods_that_are_not_served(rest: Rest) -> None:
    for path, allow in (
        ("/admin/v1/keys", "GET, HEAD, OPTIONS, POST"),
        ("/admin/v1/nodes/gpu", "DELETE, OPTIONS, PATCH"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/readyz", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/metrics/translator", "GET, HEAD, OPTIONS"),
        ("/metrics/control", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ):
        assert rest.refused("PUT", path, token=False)[0] == 401
        status, answer, headers = rest("PUT", path)
        assert (status, answer["error"]["code"], headers["allow"]) == (405, "method_not_allowed", allow)
        status, answer, headers = rest("OPTIONS", path)
        assert (status, answer, headers["allow"]) == (204, None, allow)
    for path in ("/healthz", "/readyz", "/metrics", "/metrics/translator", "/metrics/control"):
        assert rest("HEAD", path, token=False)[:2] == (200, None)
    status, answer, _ = rest("HEAD", "/admin/v1/keys")
    assert (status, answer) == (200, None)


def test_what_is_wrong_with_a_request(rest: Rest) -> None:
    assert rest.refused("GET", "/admin/v1/keys?colour=1") == (
        400, "invalid_argument", 'query: "colour" is not known; accepted: organisation, include_revoked',
    )  # fmt: skip
    status, code, message = rest.refused("GET", "/admin/v1/usage:report?by=colour")
    assert (status, code) == (400, "invalid_argument")
    assert message.startswith('by: "colour" is not accepted; accepted: DIMENSION_MODEL, ')
    assert rest.refused("POST", "/admin/v1/keys", b"{")[:2] == (400, "malformed_json")
    assert rest.refused("POST", "/admin/v1/apply", b"")[2] == "document: missing"
    assert rest.refused("DELETE", "/admin/v1/providers/nothing")[:2] == (404, "not_found")
    assert rest.refused("PATCH", "/admin/v1/nodes/nothing", {})[:2] == (404, "not_found")
    assert rest.refused("GET", "/admin/v1/keys?organisation=nobody")[:2] == (404, "not_found")
    body = {"provider": {"name": "b", "base_url": "http://b"}}
    assert '"b" is not the "a" of the path' in rest.refused("PUT", "/admin/v1/providers/a", body)[2]
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert rest.refused("POST", "/admin/v1/keys", b"a=b", **form)[:2] == (415, "unsupported_media_type")
    assert rest.refused("POST", "/admin/v1/keys", b" " * (MAX_BYTES + 1))[:2] == (413, "request_too_large")


def test_what_envoy_refuses_has_the_same_shape(rest: Rest, gateway: GatewayProcess) -> None:
    assert rest.refused("GET", "/admin/v1/keys", x_long="x" * 100_000)[:2] == (431, "headers_too_large")
    assert rest.refused("GET", "/admin/v1/keys", connection="upgrade", upgrade="websocket")[:2] == (
        426,
        "upgrade_not_supported",
    )
    head, content = raw(gateway, b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(content)["error"]["code"] == "bad_request"


def test_nothing_is_read_of_a_body_without_a_token(gateway: GatewayProcess) -> None:
    sent = b"POST /admin/v1/keys HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\nconnection: close\r\n\r\n{"
    head, content = raw(gateway, sent)
    assert head.startswith(b"HTTP/1.1 401")
    assert json.loads(content)["error"]["code"] == "unauthenticated"


def raw(gateway: GatewayProcess, sent: bytes) -> tuple[bytes, bytes]:
    """Returns head and body of everything that arrives until the connection is closed."""
    where = urlsplit(gateway.admin_url)
    with socket.create_connection((where.hostname, where.port), 60) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    return head, content


def test_who_acts_is_in_the_audit_log(rest: Rest) -> None:
    key = {"key": {"organisation": "default", "name": "alices"}}
    assert rest("POST", "/admin/v1/keys", key, x_trunkline_actor="alice", x_trunkline_take_over="true")[0] == 200
    assert rest("GET", "/admin/v1/audit?page_size=1")[1]["events"][0]["actor"] == "alice"


def test_the_gateway_as_a_whole(rest: Rest) -> None:
    sections = {"cache": {"store": "memory"}, "alerts": {}, "accounts": {}}
    assert rest("GET", "/admin/v1/gateway")[1] == {"gateway": {"cors": {}, **sections}}
    wanted = {
        "cors": {"origins": ["https://app.example.com"], "max_age_seconds": 60},
        "defaults": [{"endpoint": "moderations", "model": "omni"}],
    }
    status, answer, _ = rest("PUT", "/admin/v1/gateway", {"gateway": wanted})
    assert (status, answer["propagation"].get("rejections")) == (200, None)
    stored = rest("GET", "/admin/v1/gateway")[1]["gateway"]
    by_api = [{"section": each, "managed_by": "api"} for each in ("cors", "defaults")]
    managed = {**sections, "managed_by": "api", "managers": by_api}
    assert stored == answer["gateway"] == {**wanted, **managed, "version": stored["version"]}

    assert rest.refused("PUT", "/admin/v1/gateway", {"gateway": wanted})[0] == 409
    assert rest.refused("PUT", "/admin/v1/gateway", {})[2] == "gateway: missing"
    wrong = {"gateway": {"defaults": [{"endpoint": "batches", "model": "m"}], "version": stored["version"]}}
    assert rest.refused("PUT", "/admin/v1/gateway", wrong)[2].startswith("gateway.defaults[0].endpoint: ")
    emptied = rest("PUT", "/admin/v1/gateway", {"gateway": {"version": stored["version"]}})[1]["gateway"]
    assert emptied == {"cors": {}, **managed, "version": emptied["version"]}


def test_a_key_rotates_and_expires(rest: Rest, gateway: GatewayProcess) -> None:
    made = rest("POST", "/admin/v1/keys", {"key": {"organisation": "default", "name": "ci"}})[1]
    rotated = rest("POST", "/admin/v1/keys/default%2Fci:rotate")[1]
    assert rotated["key"]["id"] == made["key"]["id"]
    outcome = Outcomes(gateway)
    outcome.until(rotated["value"], 200)
    assert outcome(made["value"]) == (200, "")
    assert rest.refused("POST", "/admin/v1/keys/default%2Fci:rotate", {})[:2] == (400, "failed_precondition")

    assert rest("PATCH", f"/admin/v1/keys/{made['key']['id']}", {"end_grace": True})[0] == 200
    assert outcome.until(made["value"], 401) == "api_key_rotated"
    assert outcome(rotated["value"]) == (200, "")

    expires_at = int(time.time()) + 8
    assert rest("PATCH", "/admin/v1/keys/ci", {"expires_at": str(expires_at)})[0] == 200
    while True:
        begun = time.time()
        status, code = outcome(rotated["value"])
        if status == 401:
            assert (code, time.time() >= expires_at) == ("api_key_expired", True)
            break
        assert begun < expires_at

    listed = gateway.run("keys", "list", "--output", "json").stdout
    assert rotated["value"].rsplit("-", 1)[1] not in listed


class Outcomes:
    """The answers of the clients' listener to a key."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._host, self._port = gateway.address

    def __call__(self, key: str) -> tuple[int, str]:
        connection = HTTPConnection(self._host, self._port, timeout=60)
        try:
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
        finally:
            connection.close()
        return answer.status, content["error"]["code"] if answer.status != 200 else ""

    def until(self, key: str, status: int) -> str:
        """Returns the code of the first answer with this status."""
        while True:
            found, code = self(key)
            if found == status:
                return code


def test_without_a_control_plane(rest: Rest, gateway: GatewayProcess) -> None:
    os.kill(gateway.pid, signal.SIGSTOP)  # otherwise it starts another one at once
    try:
        gateway.kill("xds_server")
        status, code, _ = rest.refused("GET", "/admin/v1/keys")
        assert (status, code) == (503, "unavailable")
        assert rest("GET", "/healthz", token=False)[0] == 200
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    while rest("GET", "/admin/v1/keys")[0] != 200:
        pass


def test_the_first_start_prints_a_link_that_makes_the_first_admin(rest: Rest, gateway: GatewayProcess) -> None:
    link = gateway.setup_link()
    url, _, token = link.partition("#setup=")
    assert url == f"{gateway.admin_url}/"
    assert not (gateway.data_dir / "run" / "setup-link").exists()
    page = {"x-trunkline-csrf": "1", "origin": gateway.admin_url, "sec-fetch-site": "same-origin"}
    admin = {"email": "alice@example.org", "password": "correct horse battery"}
    for status in (200, 401):
        answer = rest("POST", "/admin/v1/setup:redeem", {"token": token, **admin}, token=False, **page)
        assert answer[0] == status
    status, _, headers = rest("POST", "/admin/v1/sign-in", admin, token=False, **page)
    assert (status, "secure" in headers["set-cookie"].lower()) == (200, False)
    cookie = headers["set-cookie"].partition(";")[0]
    # Envoy speaks plain HTTP here, whatever a client says about itself.
    forged = {"x-forwarded-proto": "https", "x-trunkline-client-address": "192.0.2.1"}
    status, me, _ = rest("GET", "/admin/v1/me", token=False, cookie=cookie, **forged)
    assert (status, me["user"]["email"]) == (200, "alice@example.org")
    assert rest.refused("POST", "/admin/v1/sign-out", {}, token=False, cookie=cookie)[:2] == (
        403,
        "permission_denied",
    )
    logs = "".join(path.read_text() for path in (gateway.data_dir / "log").glob("*.log"))
    for secret in (token, cookie.partition("=")[2], admin["password"]):
        assert secret not in logs
