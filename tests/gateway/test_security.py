"""Nothing that a client can send chooses a route, reaches an upstream without permission, or reveals the gateway
to it.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

BODY = b'{"model":"open","messages":[{"role":"user","content":"a very private prompt"}]}'


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), provider_entry(provider_b)],
        "routes": [
            {"model": "open", "targets": [{"provider": "a", "model": "open"}]},
            {"model": "secret", "targets": [{"provider": "b", "model": "secret"}]},
        ],
        "organisations": [
            {"name": "acme", "keys": [{"name": "narrow", "value": "sk-acme-narrow-key-1234", "models": ["open"]}]}
        ],
    }


async def exchange(gateway: GatewayProcess, head: list[str], body: bytes = BODY) -> tuple[int, bytes]:
    """Sends raw bytes. Returns the status and everything else; the status is 0 if the connection is
    just closed.
    """
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)
    answer = b""
    try:
        async with asyncio.timeout(60):
            await writer.drain()
            while piece := await reader.read(65536):
                answer += piece
                if _is_whole(answer):
                    break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    match = re.match(rb"HTTP/1\.[01] (\d+)", answer)
    return (int(match[1]) if match else 0), answer


def _is_whole(answer: bytes) -> bool:
    """Returns whether everything has arrived of an answer that states its length, or the head of a chunked one."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if length := re.search(rb"content-length: (\d+)", head.lower()):
        return bool(end) and len(body) >= int(length[1])
    return bool(end) and b"transfer-encoding: chunked" in head.lower()


def request(key: str = "", path: str = "/v1/chat/completions", *more: str, method: str = "POST") -> list[str]:
    authorization = [f"Authorization: Bearer {key}"] if key else []
    return [
        f"{method} {path} HTTP/1.1",
        "Host: gateway",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
        "Connection: close",
        *authorization,
        *more,
    ]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Authorization: Bearer sk-tl-unknown-0000000000000000"],
        ["Authorization: Bearer"],
        ["Authorization: Basic dXNlcjpwYXNz"],
        ["Authorization: Bearer \x80\xff"],
        ["x-api-key: nonsense"],
        ["x-trunkline-key: first", "x-trunkline-org: default"],
    ],
)
async def test_without_a_valid_key_nothing_reaches_an_upstream(
    gateway: GatewayProcess, provider_a: ProviderProcess, headers: list[str]
) -> None:
    before = await provider_a.acounters()
    status, answer = await exchange(gateway, request("", "/v1/chat/completions", *headers))
    assert status in (400, 401)
    if status == 401:
        assert b'"invalid_api_key"' in answer
    assert (await provider_a.acounters())["requests"] == before["requests"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/../../admin/v1/status",
        "/v1/../v1/unknown",
        "/v1/chat%2Fcompletions",
        "/v1/chat%2fcompletions",
        "/v1/%2e%2e/authorise/v1/models",
        "/authorise/v1/chat/completions",
        "/v1/chat/completions/../../../etc/passwd",
        "/v1/files",
        "/metrics",
        "/readyz",
        "/",
        "http://other.example/v1/unknown",
    ],
)
async def test_odd_paths_reach_no_upstream(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess, path: str
) -> None:
    before = [await each.acounters() for each in (provider_a, provider_b)]
    status, _ = await exchange(gateway, request(gateway.api_key, path))
    assert 400 <= status < 500
    after = [await each.acounters() for each in (provider_a, provider_b)]
    assert [each["requests"] for each in after] == [each["requests"] for each in before]


async def test_doubled_slashes_and_dots_mean_the_path_they_name(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    for path in (
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/x/../completions",
        "/v1/chat\\completions",
    ):
        status, _ = await exchange(gateway, request(gateway.api_key, path))
        assert status == 200
        assert (await provider_a.arequests())[-1].target == "/v1/chat/completions"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "CONNECT", "TRACE"])
async def test_other_methods_reach_no_upstream(
    gateway: GatewayProcess, provider_a: ProviderProcess, method: str
) -> None:
    before = await provider_a.acounters()
    status, _ = await exchange(gateway, request(gateway.api_key, method=method))
    assert status in (400, 404, 405)
    assert (await provider_a.acounters())["requests"] == before["requests"]


@pytest.mark.parametrize(
    "forged",
    [
        "x-trunkline-route: translator",
        "x-trunkline-path: /files",
        "x-trunkline-model: 0:1",
        "x-trunkline-prefix: /evil",
        "x-trunkline-flags: -uk",
        "x-envoy-original-path: /v1/models",
        "x-envoy-upstream-rq-timeout-ms: 1",
        "x-envoy-retry-on: 5xx",
        "x-envoy-max-retries: 100",
        "x-envoy-expected-rq-timeout-ms: 1",
        "X-Trunkline-Tagged: x",
        "x-trunkline-ta: x",
    ],
)
async def test_forged_headers_change_nothing_and_go_nowhere(
    gateway: GatewayProcess, provider_a: ProviderProcess, forged: str
) -> None:
    status, _ = await exchange(gateway, request(gateway.api_key, "/v1/chat/completions", forged))
    assert status == 200
    seen = (await provider_a.arequests())[-1]
    assert seen.target == "/v1/chat/completions"
    assert seen.body == BODY
    assert seen.header(forged.partition(":")[0]) is None


async def test_a_client_does_not_choose_its_requests_id(gateway: GatewayProcess) -> None:
    """The id could be that of a request that holds a reservation, or of one in the ledger."""
    ids = set()
    for _ in range(2):
        status, answer = await exchange(
            gateway, request(gateway.api_key, "/v1/chat/completions", "x-request-id: chosen")
        )
        assert status == 200
        found = re.search(rb"\r\nx-request-id: (\S+)\r\n", answer)
        assert found
        ids.add(found[1])
    assert len(ids) == 2
    assert b"chosen" not in ids


async def test_upstreams_see_neither_the_client_nor_the_gateway(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    own = ["Cookie: session=1", "x-api-key: mine", "api-key: mine", "x-trunkline-tag: team-a", "Forwarded: for=1"]
    own += [
        "Proxy-Authorization: Basic eA==",
        "X-HF-Bill-To: them",
        "Helicone-Target-URL: http://x",
        "OpenAI-Project: p",
    ]
    own += [
        "X-Original-URL: /v1/files",
        "X-HTTP-Method-Override: DELETE",
        "x-portkey-config: {}",
        "X-Auth-Token: mine",
    ]
    status, answer = await exchange(gateway, request(gateway.api_key, "/v1/chat/completions", *own))
    assert status == 200
    names = {name.lower() for name, _ in (await provider_a.arequests())[-1].headers}
    assert names == {"host", "content-type", "content-length", "authorization", "accept-encoding"}
    assert b"sk-provider-a" not in answer


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            b"0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        ),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b"0\r\n\r\n"),
        (["Transfer-Encoding: xchunked"], BODY),
        (["Content-Length: 5", "Content-Length: 6"], b"12345"),
        (["Content-Length: -1"], BODY),
        (["Content-Length: 1x"], BODY),
        (["Transfer-Encoding: chunked"], b"zz\r\n" + BODY),
    ],
)
async def test_ambiguous_framing_is_refused(
    gateway: GatewayProcess, provider_a: ProviderProcess, head: list[str], body: bytes
) -> None:
    before = await provider_a.acounters()
    start = ["POST /v1/chat/completions HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.api_key}"]
    status, _ = await exchange(gateway, [*start, "Content-Type: application/json", *head], body)
    assert status in (0, 400, 501)
    assert (await provider_a.acounters())["requests"] == before["requests"]


async def test_a_key_reaches_only_its_own_models(gateway: GatewayProcess, provider_b: ProviderProcess) -> None:
    before = await provider_b.acounters()
    body = BODY.replace(b"open", b"secret")
    head = request("sk-acme-narrow-key-1234")
    head[3] = f"Content-Length: {len(body)}"
    status, answer = await exchange(gateway, head, body)
    assert status == 404
    assert b'"model_not_found"' in answer
    assert (await provider_b.acounters())["requests"] == before["requests"]
    assert (await exchange(gateway, request("sk-acme-narrow-key-1234")))[0] == 200


@pytest.mark.parametrize("more", [1, 1024 * 1024])
async def test_too_large_a_body_is_refused_in_openais_shape(gateway: GatewayProcess, more: int) -> None:
    body = io.BytesIO(bytes(32 * 1024 * 1024 + more))
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.api_key}"}) as session,
        session.post(f"{gateway.base_url}/chat/completions", data=body) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"


async def test_no_client_speaks_the_translators_own_protocol(gateway: GatewayProcess) -> None:
    upgrade = ["Connection: upgrade", "Upgrade: trunkline-authorise"]
    for port, path in ((gateway.address[1], "/v1/models"), (urlsplit(gateway.admin_url).port, "/readyz")):
        head = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {gateway.api_key}"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join([*head, *upgrade, "", ""]).encode())
        async with asyncio.timeout(60):
            line = await reader.readline()
        writer.close()
        assert line.startswith(b"HTTP/1.1 426 ")


async def test_a_revoked_key_stops_working_at_once(gateway: GatewayProcess) -> None:
    created = gateway.run("keys", "create", "--org", "default", "--name", "brief").stdout
    value = re.search(r"sk-tl-[\w-]+", created)
    assert value
    assert (await exchange(gateway, request(value[0])))[0] == 200
    listed = json.loads(gateway.run("keys", "list", "--output", "json").stdout)
    (key,) = [each for each in listed if each["name"] == "brief"]
    revoke = asyncio.create_task(asyncio.to_thread(gateway.run, "keys", "revoke", key["id"]))
    while True:
        had_returned = revoke.done()
        status, _ = await exchange(gateway, request(value[0]))
        if status == 401:
            break
        assert not had_returned, "the command had returned, and the key still worked"
    await revoke


async def test_envoys_admin_is_on_no_tcp_port(gateway: GatewayProcess) -> None:
    run = gateway.data_dir / "run"
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert stat.S_ISSOCK((run / "envoy-admin.sock").stat().st_mode)
    envoy = gateway.service_pid("envoy")
    inodes = set()
    for link in Path(f"/proc/{envoy}/fd").iterdir():
        with suppress(FileNotFoundError):  # a connection that has ended meanwhile
            if match := re.match(r"socket:\[(\d+)\]", str(link.readlink())):
                inodes.add(match[1])
    listening = {
        (fields[1].partition(":")[0], int(fields[1].rpartition(":")[2], 16))
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[3] == "0A" and fields[9] in inodes
    }
    named = {int(gateway.credentials[name].rpartition(":")[2]) for name in ("admin_url", "tunnel")}
    # One more listener takes over tunnels from the nodes' listener, which it knows by a secret (docs/security.md).
    (handshake,) = {port for _, port in listening} - named - {gateway.address[1]}
    assert {address for address, _ in listening} == {"0100007F"}  # 127.0.0.1
    for path in ("/config_dump", "/stats", "/reverse_connections/request"):
        answer = b""
        reader, writer = await asyncio.open_connection("127.0.0.1", handshake)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(60):
            with suppress(ConnectionError):
                answer = await reader.read()
        writer.close()
        assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 101"))


async def test_no_secret_and_no_prompt_is_in_any_log(gateway: GatewayProcess) -> None:
    await exchange(gateway, request(gateway.api_key))
    await exchange(gateway, request(gateway.api_key, "/v1/unknown"))
    known = gateway.credentials
    secrets = (
        known["api_key"],
        known["admin_token"],
        "sk-provider-a",
        "sk-acme-narrow-key-1234",
        "private prompt",
    )
    logs = [path.read_text() for path in (gateway.data_dir / "log").iterdir()] + [gateway.errors_file.read_text()]
    assert any(logs)
    for secret in secrets:
        assert not any(secret in text for text in logs)


async def test_a_slow_request_is_not_kept_for_ever(gateway: GatewayProcess) -> None:
    """Envoy cuts off headers that never end, without waiting for the client."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.timeout(120):  # Envoy waits for half a minute
        answer = await reader.read()
    writer.close()
    assert answer == b"" or b" 408 " in answer.split(b"\r\n", 1)[0]
