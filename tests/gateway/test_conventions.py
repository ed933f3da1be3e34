"""What OpenAI's clients read of an answer besides its body, and which endpoints they can discover."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.raw import bodiless, exchange

RATED, POOR = "sk-test-rated-0123456789", "sk-test-poor-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hi"}]


def limited(seconds: str, *, stream: bool) -> str:
    """Returns a model that only one test uses, because its target rests afterwards."""
    return f"limited-{seconds}-{'stream' if stream else 'plain'}"


LIMITED = [limited(seconds, stream=stream) for seconds in ("2", "3600") for stream in (False, True)]


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    def owner(name: str, value: str, metric: str, per: str) -> dict[str, Any]:
        limit = {"metric": metric, "per": per, "amount": 1}
        return {"name": name, "keys": [{"name": "ci", "value": value}], "limits": [limit]}

    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [
            *({"model": model, "targets": [{"provider": "a", "model": model}]} for model in ("plain", *LIMITED)),
            {
                "model": "impatient",
                "targets": [{"provider": "a", "model": "impatient"}],
                "timeouts": {"first_byte": "2s"},
            },
        ],
        "organisations": [
            owner("rated", RATED, "requests", "40s"),
            owner("poor", POOR, "requests", "366d"),
        ],
    }


async def ask(
    gateway: GatewayProcess,
    method: str = "POST",
    path: str = CHAT,
    *,
    key: str = "",
    headers: dict[str, str] | None = None,
    **changes: Any,
) -> httpx.Response:
    body = {"model": "plain", "messages": MESSAGES, **changes} if method == "POST" else None
    sent = {"authorization": f"Bearer {key or gateway.api_key}", **(headers or {})}
    async with httpx.AsyncClient(base_url=gateway.origin, timeout=240) as client:
        return await client.request(method, path, json=body, headers=sent)


def advice(answer: httpx.Response) -> tuple[str | None, str | None, str | None]:
    """Returns the advice for retries, after checking what all answers must have."""
    assert answer.headers["x-request-id"]
    assert answer.headers["openai-processing-ms"].isdecimal()
    reported = answer.headers
    return reported.get("retry-after"), reported.get("retry-after-ms"), reported.get("x-should-retry")


@pytest.mark.parametrize(
    ("request_", "status", "again"),
    [
        ({"key": "sk-wrong-0123456789"}, 401, "false"),
        ({"model": "unknown"}, 404, "false"),
        ({"model": ""}, 400, "false"),
        ({"path": "/v1/batches"}, 404, "false"),
        ({"method": "GET", "path": "/unknown"}, 404, "false"),
        ({"method": "DELETE"}, 405, "false"),
        ({"headers": {"content-encoding": "gzip"}}, 400, "false"),
        ({"headers": {"upgrade": "websocket", "connection": "upgrade"}}, 426, "false"),
    ],
    ids=str,
)
async def test_what_is_useless_to_try_again_says_so(
    gateway: GatewayProcess, request_: dict[str, Any], status: int, again: str
) -> None:
    answer = await ask(gateway, **request_)
    assert answer.status_code == status, answer.text
    assert advice(answer) == (None, None, again)


async def test_a_body_that_is_too_large_is_useless_to_send_again(gateway: GatewayProcess) -> None:
    request = bodiless("POST", CHAT, f"Authorization: Bearer {gateway.api_key}", f"Content-Length: {1 << 30}")
    status, headers, _ = await exchange(gateway, request)
    assert (status, headers["x-should-retry"]) == (413, "false")
    assert headers["openai-processing-ms"].isdecimal()


async def test_a_rate_limit_says_when_to_the_millisecond(gateway: GatewayProcess) -> None:
    while (answer := await ask(gateway, key=RATED)).status_code == 200:
        pass
    after, milliseconds, again = advice(answer)
    assert (answer.status_code, again) == (429, "true")
    assert after is not None
    assert milliseconds is not None
    assert int(after) * 1000 - 1000 < int(milliseconds) <= int(after) * 1000


async def test_openais_client_does_not_try_a_budget_again(gateway: GatewayProcess) -> None:
    seen: list[int] = []

    def count(response: Any) -> None:
        seen.append(response.status_code)

    client = openai.OpenAI(base_url=f"{gateway.origin}/v1", api_key=POOR, max_retries=2)
    client._client.event_hooks["response"] = [count]
    with client:
        client.models.list()
        client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "Hi"}])
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "Hi"}])
    assert seen.count(429) == 1
    assert caught.value.code == "insufficient_quota"
    assert caught.value.request_id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("mode", "options", "status", "expected"),
    [
        ("ok", {}, 200, (None, None, None)),
        ("refuse", {}, 503, ("5", "5000", "true")),
        ("status:429", {"retry_after": "2"}, 429, ("2", "2000", "true")),
        ("status:429", {"retry_after": "3600"}, 429, ("3600", "3600000", "false")),
        ("hang", {}, 504, (None, None, None)),
    ],
)
async def test_what_a_target_does_is_reported_with_when_to_come_back(
    gateway: GatewayProcess,
    provider_a: ProviderProcess,
    mode: str,
    options: dict[str, Any],
    status: int,
    expected: tuple[str | None, str | None, str | None],
    *,
    stream: bool,
) -> None:
    model = limited(options["retry_after"], stream=stream) if "retry_after" in options else "plain"
    model = "impatient" if mode == "hang" else model
    await provider_a.abehave(mode, **options)
    try:
        answer = await ask(gateway, stream=stream, model=model)
    finally:
        await provider_a.abehave("ok")
    assert answer.status_code == status, answer.text
    assert advice(answer) == expected


async def test_a_providers_own_figures_pass(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    body = '{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
    raw = (
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nopenai-processing-ms: 77\r\n"
        "openai-version: 2020-10-01\r\nopenai-organization: the-operators\r\nx-should-retry: false\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )
    await provider_a.abehave("raw", raw=raw)
    try:
        answer = await ask(gateway)
    finally:
        await provider_a.abehave("ok")
    assert answer.status_code == 400
    assert answer.headers["openai-processing-ms"] == "77"
    assert answer.headers["openai-version"] == "2020-10-01"
    assert "openai-organization" not in answer.headers
    assert advice(answer) == (None, None, "false")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/plain", "/v1/models/unknown"])
async def test_head_is_what_get_is_without_a_body(gateway: GatewayProcess, path: str) -> None:
    key = f"Authorization: Bearer {gateway.api_key}"
    shown, reported, body = await exchange(gateway, bodiless("GET", path, key))
    status, headers, nothing = await exchange(gateway, bodiless("HEAD", path, key, "Connection: close"))
    assert (status, nothing) == (shown, b"")
    assert headers["content-type"] == reported["content-type"] == "application/json"
    assert headers["content-length"] == reported["content-length"] == str(len(body))


async def test_head_needs_a_key_too(gateway: GatewayProcess) -> None:
    assert (await exchange(gateway, bodiless("HEAD", "/v1/models")))[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "code", "named"),
    [
        ("POST", "/v1/assistants", "endpoint_not_served", "Assistants API"),
        ("GET", "/v1/files/file_1/content?x=1", "endpoint_not_served", "Files API"),
        ("POST", "/v1/responses/resp_1/other", "endpoint_not_served", "stored responses"),
        ("GET", "/v1/realtime", "endpoint_not_served", "Realtime API"),
        ("POST", "/v1/messages", "endpoint_not_served", "Anthropic"),
        ("POST", "/chat/completions", "unknown_url", "Did you mean POST /v1/chat/completions?"),
        ("POST", "/v1/nothing", "unknown_url", "docs/endpoints.md"),
    ],
)
async def test_an_endpoint_that_is_not_served_says_so_by_name_to_everybody(
    gateway: GatewayProcess, method: str, path: str, code: str, named: str
) -> None:
    status, _, body = await exchange(gateway, bodiless(method, path, "Content-Length: 0"))
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (404, code)
    assert named in error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_background_response_is_refused_with_a_reason(gateway: GatewayProcess, *, stream: bool) -> None:
    answer = await ask(gateway, path="/v1/responses", input="Hi", background=True, stream=stream)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", "background")
    assert "would not be known" in error["message"]
