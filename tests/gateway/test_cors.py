"""Pages of other origins in browsers: preflights and answers, with Envoy, as bytes."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.raw import Answer, bodiless, exchange
from tests.gateway.test_metered_paths import dumped, found
from xds_server.resources import cors

CHAT = "/v1/chat/completions"
APP, SITE, LOCAL = "https://app.example.com", "https://*.example.org", "http://localhost:*"
ALLOWED = [
    "https://app.example.com",
    "https://a.example.org",
    "https://a.b.example.org",
    "http://localhost",
    "http://localhost:5173",
    "null",
    "chrome-extension://abcdefgh",
]
REFUSED = [
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.com",
    "https://evil-app.example.com",
    "https://example.org",
    "https://evilexample.org",
    "https://a.example.org.evil.com",
    "https://a.example.org:8443",
    "https://localhost",
    "http://localhost.evil.com",
    "http://localhost:80.evil.com",
    "https://other.example.com",
    "*",
]


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "plain", "targets": [{"provider": "a", "model": "plain"}]}],
        "cors": {"origins": [APP, SITE, LOCAL, "null", "chrome-extension://abcdefgh"], "max_age": "1h"},
    }


async def preflight(gateway: GatewayProcess, origin: str, path: str = CHAT, method: str = "POST") -> Answer:
    lines = (
        f"Origin: {origin}",
        f"Access-Control-Request-Method: {method}",
        "Access-Control-Request-Headers: authorization,content-type,x-stainless-new",
        "Access-Control-Request-Private-Network: true",
    )
    return await exchange(gateway, bodiless("OPTIONS", path, *lines))


async def post(gateway: GatewayProcess, origin: str, key: str = "", **changes: Any) -> Answer:
    body = json.dumps({"model": "plain", "messages": [{"role": "user", "content": "Hi"}], **changes})
    lines = (
        f"Origin: {origin}",
        f"Authorization: Bearer {key or gateway.api_key}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    return await exchange(gateway, bodiless("POST", CHAT, *lines) + body.encode())


def allowed(headers: dict[str, str]) -> str | None:
    return headers.get("access-control-allow-origin")


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/vendor%2Fname", "/v1/unknown"])
@pytest.mark.parametrize("origin", ALLOWED)
async def test_a_preflight_is_answered_without_a_key(gateway: GatewayProcess, origin: str, path: str) -> None:
    status, headers, body = await preflight(gateway, origin, path)
    assert (status, body) == (200, b"")
    assert allowed(headers) == origin
    assert headers["access-control-allow-methods"] == "get, head, post"
    assert headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-new"
    assert headers["access-control-max-age"] == "3600"
    assert headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize("origin", REFUSED)
async def test_other_origins_learn_nothing(gateway: GatewayProcess, origin: str) -> None:
    assert allowed((await preflight(gateway, origin))[1]) is None
    status, headers, _ = await post(gateway, origin)
    assert (status, allowed(headers)) == (200, None)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_page_may_read_the_answer_and_its_headers(gateway: GatewayProcess, *, stream: bool) -> None:
    status, headers, _ = await post(gateway, APP, stream=stream)
    assert (status, allowed(headers)) == (200, APP)
    exposed = headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "retry-after-ms", "x-ratelimit-reset-tokens", "x-trunkline-target"} <= set(exposed)
    assert headers["vary"] == "origin"


@pytest.mark.parametrize(
    ("request_", "status"),
    [({"key": "sk-wrong-0123456789"}, 401), ({"model": "unknown"}, 404), ({"model": 5}, 400)],
)
async def test_a_page_may_read_a_refusal(gateway: GatewayProcess, request_: dict[str, Any], status: int) -> None:
    found, headers, body = await post(gateway, APP, **request_)
    assert (found, allowed(headers)) == (status, APP)
    assert "x-request-id" in headers["access-control-expose-headers"]
    assert json.loads(body)["error"]["message"]


async def test_a_page_may_read_what_envoy_and_the_module_refuse(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    lines = (f"Origin: {APP}", f"Authorization: Bearer {gateway.api_key}")
    for request, expected in (
        (bodiless("POST", CHAT, *lines, f"Content-Length: {1 << 30}"), 413),
        (bodiless("PUT", CHAT, *lines), 405),
        (bodiless("OPTIONS", CHAT, *lines), 405),  # no preflight, because it names no method
        (bodiless("GET", "/v1/batches", *lines), 404),
    ):
        status, headers, _ = await exchange(gateway, request)
        assert (status, allowed(headers)) == (expected, APP)
    await provider_a.abehave("refuse")
    try:
        status, headers, _ = await post(gateway, APP)
    finally:
        await provider_a.abehave("ok")
    assert (status, allowed(headers)) == (503, APP)


async def test_no_route_is_excepted_from_the_check(gateway: GatewayProcess) -> None:
    dump = await dumped(gateway)
    configured = list(found(dump["RoutesConfigDump"]["dynamic_route_configs"], "typed_per_filter_config"))
    assert [set(each) for each in configured] == [{cors.FILTER}]
    for method, path in (("POST", CHAT), ("GET", "/v1/models")):
        head = bodiless(method, path, f"Origin: {APP}", "x-trunkline-route: rt_x")
        status, headers, _ = await exchange(gateway, head)
        assert (status, allowed(headers)) == (401, APP)


async def test_without_an_origin_nothing_is_said(gateway: GatewayProcess) -> None:
    _, headers, _ = await exchange(
        gateway, bodiless("GET", "/v1/models", f"Authorization: Bearer {gateway.api_key}")
    )
    assert not [name for name in headers if name.startswith("access-control-")]


async def test_it_is_changed_and_turned_off_while_connections_live(
    gateway: GatewayProcess, config: dict[str, Any]
) -> None:
    reader, writer = await asyncio.open_connection(*gateway.address)

    async def ask(origin: str) -> str:
        request = bodiless("GET", "/v1/models", f"Origin: {origin}", f"Authorization: Bearer {gateway.api_key}")
        writer.write(request)
        async with asyncio.timeout(120):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(line for line in head.splitlines() if line.startswith("content-length: "))
            await reader.readexactly(int(length.partition(": ")[2]))
        return head

    assert f"access-control-allow-origin: {APP}" in await ask(APP)
    changed = copy.deepcopy(config)
    changed["cors"] = {"origins": ["*"]}
    await asyncio.to_thread(gateway.apply, changed)
    for origin in ("https://anything.example", "null"):
        assert f"access-control-allow-origin: {origin}" in await ask(origin)
    changed["cors"] = {"origins": []}
    await asyncio.to_thread(gateway.apply, changed)
    head = await ask(APP)
    assert "access-control-" not in head
    assert "vary" not in head
    status, headers, _ = await preflight(gateway, APP)
    assert (status, allowed(headers)) == (405, None)
    writer.close()
    await asyncio.to_thread(gateway.apply, config)
