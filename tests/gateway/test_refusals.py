"""Envoy's own refusals have OpenAI's shape too, and requests of common clients are not refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import h2.config
import h2.connection
import h2.events
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.raw import Answer, exchange

BODY = b'{"model": "plain", "messages": [{"role": "user", "content": "Hi"}]}'
UPGRADE = 426, "upgrade_not_supported"
#: Names that SDKs escape in a path in different ways.
MODELS = ("vendor/x y", "a//b", "llama3:70b", "модель-1", "100%", "what?#", "x+y&z=1", "~.-_")


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    routes = [{"model": "plain", "targets": [{"provider": "a", "model": "plain"}]}]
    routes += [{"model": name, "targets": [{"provider": "a", "model": "plain"}]} for name in MODELS]
    return {"version": 1, "providers": [provider_entry(provider_a)], "routes": routes}


def post(gateway: GatewayProcess, *lines: str, path: str = "/v1/chat/completions", version: str = "1.1") -> bytes:
    key = f"Authorization: Bearer {gateway.api_key}"
    head = [f"POST {path} HTTP/{version}", "Host: x", key, f"Content-Length: {len(BODY)}", *lines, "", ""]
    return "\r\n".join(head).encode() + BODY


def refused(answer: Answer) -> tuple[int, str]:
    """Returns status and code of a refusal, which must have OpenAI's shape and a sentence that helps."""
    status, headers, body = answer
    assert headers["content-type"].startswith("application/json"), body
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith((".", "."))
    assert len(error["message"].split()) > 4
    return status, error["code"]


@pytest.mark.parametrize(
    ("request_line", "lines", "expected"),
    [
        ("GARBAGE", ["Host: x"], (400, "bad_request")),
        ("GET /v1/models HTTP/1.1", [], (400, "bad_request")),
        ("GET /v1/models HTTP/1.1", ["Host: x", "no colon"], (400, "bad_request")),
        ("GET /v1/models HTTP/1.1", ["Host: x", "bad name: 1"], (400, "bad_request")),
        ("GET /v1/models HTTP/1.1", ["Host: x", "name: \0"], (400, "bad_request")),
        ("POST /v1/models HTTP/1.1", ["Host: x", "Content-Length: -1"], (400, "bad_request")),
        ("POST /v1/models HTTP/1.1", ["Host: x", "Content-Length: 1", "Content-Length: 2"], (400, "bad_request")),
        ("POST /v1/models HTTP/1.1", ["Host: x", "Transfer-Encoding: gzip"], (501, "not_implemented")),
        ("GET /%zz HTTP/1.1", ["Host: x"], (404, "unknown_url")),
        ("GET /v1/models HTTP/1.1", ["Host: x", f"name: {'x' * 70_000}"], (431, "headers_too_large")),
        ("GET /v1/models HTTP/1.1", ["Host: x", *["a: b"] * 200], (431, "headers_too_large")),
        ("CONNECT other:443 HTTP/1.1", ["Host: other:443"], (404, "unknown_url")),
        ("GET /unknown HTTP/1.1", ["Host: x"], (404, "unknown_url")),
        ("GET /v1/responses HTTP/1.1", ["Host: x", "Upgrade: websocket", "Connection: Upgrade"], UPGRADE),
        ("GET /v1/models HTTP/1.1", ["Host: x", "Upgrade: h3", "Connection: upgrade"], UPGRADE),
    ],
)  # fmt: skip
async def test_what_envoy_refuses_is_reported_in_openais_shape(
    gateway: GatewayProcess, request_line: str, lines: list[str], expected: tuple[int, str]
) -> None:
    request = "\r\n".join([request_line, *lines, "", ""]).encode("latin-1")
    assert refused(await exchange(gateway, request)) == expected


async def test_http2_refusals_too(gateway: GatewayProcess) -> None:
    reader, writer = await asyncio.open_connection(*gateway.address)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/unknown")]
    connection.send_headers(connection.get_next_available_stream_id(), head, end_stream=True)
    writer.write(connection.data_to_send())
    status, body, ended = "", b"", False
    async with asyncio.timeout(60):
        while not ended:
            for event in connection.receive_data(await reader.read(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
            writer.write(connection.data_to_send())
    writer.close()
    assert (status, json.loads(body)["error"]["code"]) == ("404", "unknown_url")


async def test_headers_with_underscores_are_dropped_and_the_request_is_served(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    status, _, body = await exchange(gateway, post(gateway, "session_id: 5", "x_trunkline_route: translator"))
    assert status == 200, body
    names = {name.lower() for name, _ in (await provider_a.arequests())[-1].headers}
    assert not any("_" in name for name in names)


@pytest.mark.parametrize("lines", [[], ["Connection: keep-alive"]])
async def test_http_1_0_is_served(gateway: GatewayProcess, lines: list[str]) -> None:
    """By default, nginx calls its upstreams with HTTP/1.0, which needs no host."""
    status, _, body = await exchange(gateway, post(gateway, *lines, version="1.0"))
    assert status == 200
    assert json.loads(body)["object"] == "chat.completion"
    without_host = post(gateway, version="1.0").replace(b"Host: x\r\n", b"")
    assert (await exchange(gateway, without_host))[0] == 200


async def test_a_stream_over_http_1_0_arrives_whole(gateway: GatewayProcess) -> None:
    streamed = BODY.replace(b"{", b'{"stream": true, ', 1)
    request = post(gateway, version="1.0").replace(BODY, streamed)
    request = request.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % len(streamed))
    status, headers, body = await exchange(gateway, request)
    assert status == 200
    assert "transfer-encoding" not in headers
    assert body.endswith(b"data: [DONE]\n\n")


#: Unescaped slashes are merged, like in all paths.
@pytest.mark.parametrize(
    ("name", "safe"), [(name, safe) for name in MODELS for safe in ("", "/") if not (safe and "//" in name)]
)
async def test_a_models_name_may_hold_anything_in_a_path(gateway: GatewayProcess, name: str, safe: str) -> None:
    path = f"/v1/models/{quote(name, safe=safe)}"
    head = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.api_key}", "", ""]
    status, _, body = await exchange(gateway, "\r\n".join(head).encode())
    assert (status, json.loads(body).get("id")) == (200, name)
