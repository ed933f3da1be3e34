"""An upstream receives its client's body byte for byte, except for the model's name and the usage flag."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived, StreamEnded

from tests.fakes.provider_process import ProviderProcess, SeenRequest
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

UPSTREAM = b'"vendor/gpt-4.1"'
NAME = 'D:\\models\\речь-"1"'
USAGE = b'"stream_options":{"include_usage":true},'


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, provider_b: ProviderProcess) -> dict[str, Any]:
    plain = {**provider_entry(provider_b), "stream_usage": False}
    return {
        "version": 1,
        "providers": [provider_entry(provider_a), plain],
        "routes": [
            {"model": "gpt", "targets": [{"provider": "a", "model": "vendor/gpt-4.1"}]},
            {"model": "no-usage", "targets": [{"provider": "b", "model": "no-usage"}]},
            {
                "model": "both",
                "targets": [
                    {"provider": "a", "model": "first/longer-name"},
                    {"provider": "b", "model": "second", "tier": 1},
                ],
            },
            {"model": "whisper", "targets": [{"provider": "a", "model": "whisper-large"}]},
            {"model": "голос", "targets": [{"provider": "a", "model": NAME}]},
        ],
    }


async def post(
    gateway: GatewayProcess, body: bytes, *, path: str = "/chat/completions", **headers: str
) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            gateway.base_url + path,
            data=io.BytesIO(body),
            headers={
                "content-length": str(len(body)),
                "authorization": f"Bearer {gateway.api_key}",
                "content-type": "application/json",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        ) as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text) if text.startswith("{") else {"text": text}


async def received(provider: ProviderProcess) -> SeenRequest:
    return (await provider.arequests())[-1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}',
        b'{"messages":[{"role":"user","content":"the \\"model\\": \\"gpt\\" in a prompt"}],"model":"gpt"}',
        b'{"messages":[{"role":"user","content":"a \\\\"}],"model":"gpt","temperature":0.10}',
        b'{"messages":[{"role":"user","content":"hi"}],"functions":[{"model":{"enum":["gpt"]}}],"model":"gpt"}',
        b'{"metadata":{"model":"gpt"},"model" :\n\t"gpt" ,"messages":[{"role":"user","content":"hi"}]}',
        b'{"messages":[{"role":"user","content":"hi"}],"model":"g\\u0070t"}',
        b'{"messages":[{"role":"user","content":"hi"}],"\\u006dodel":"gpt"}',
        b'{"stop":["model","x"],"messages":[{"role":"user","content":"hi"}],"model":"gpt"}',
        '{"messages":[{"role":"user","content":"naïve 模型 🚂 model"}],"model":"gpt"}'.encode(),
        b'  {"model":"gpt","messages":[{"role":"user","content":"hi"}],"seed":123456789012345678,"top_p":1e-7}  ',
    ],
)
async def test_only_the_models_value_is_replaced(
    gateway: GatewayProcess, provider_a: ProviderProcess, body: bytes
) -> None:
    status, _ = await post(gateway, body)
    assert status == 200
    seen = await received(provider_a)
    # In each of these, the value of the top-level key is the last occurrence of the name as a whole string.
    spelled = b'"g\\u0070t"' if b"\\u0070" in body else b'"gpt"'
    if body.startswith((b'{"model"', b"  {")):
        assert seen.body == body.replace(spelled, UPSTREAM, 1)
    else:
        head, _, tail = body.rpartition(spelled)
        assert seen.body == head + UPSTREAM + tail
    assert seen.header("content-length") == str(len(seen.body or b""))


async def test_the_model_may_come_last_in_ten_megabytes(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    text = b'he said \\"model\\": ' * 550_000
    body = b'{"messages":[{"role":"user","content":"' + text + b'"}],"model":"gpt"}'
    status, _ = await post(gateway, body)
    assert status == 200
    assert (await received(provider_a)).body_bytes == len(body) + len(UPSTREAM) - len(b'"gpt"')


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt","messages":[{"role":"user","content":"hi"}],"model":"both"}',
        b'{"model":"gpt","messages":[{"role":"user","content":"hi"}],"mod\\u0065l":"gpt"}',
        b'{"model":"gpt","messages":[}',
        b'[{"model":"gpt"}]',
        b'{"model":7,"messages":[{"role":"user","content":"hi"}]}',
        b'{"messages":[{"role":"user","content":"hi"}]}',
        b"",
        b'{"model":"gpt","messages":"\xff"}',
    ],
)
async def test_what_cannot_be_read_one_way_only_is_refused(
    gateway: GatewayProcess, provider_a: ProviderProcess, body: bytes
) -> None:
    before = await provider_a.acounters()
    status, answer = await post(gateway, body)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert (await provider_a.acounters())["requests"] == before["requests"]


async def test_a_body_with_trailers_behind_it_is_edited_too(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    """The test uses HTTP/2, because Envoy does not pass on trailers of HTTP/1.1."""
    connection = H2Connection(H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    authority = gateway.base_url.split("/")[2]
    head = {":method": "POST", ":path": "/v1/chat/completions", ":scheme": "http", ":authority": authority}
    more = {"authorization": f"Bearer {gateway.api_key}", "content-type": "application/json"}
    connection.send_headers(1, list({**head, **more}.items()))
    connection.send_data(1, b'{"messages":[{"role":"user","content":"hi"}],"stream":true,')
    connection.send_data(1, b'"model":"gpt"}')
    connection.send_headers(1, [("x-checksum", "1")], end_stream=True)
    host, port = authority.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(connection.data_to_send())
    statuses: list[str] = []
    ended = False
    while not ended:
        data = await reader.read(65_536)
        assert data
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived):
                statuses += [str(value) for name, value in event.headers if str(name) == ":status"]
            ended = ended or isinstance(event, StreamEnded)
        writer.write(connection.data_to_send())
    writer.close()
    assert statuses == ["200"]
    assert (
        (await received(provider_a)).body
        == b"{" + USAGE + b'"messages":[{"role":"user","content":"hi"}],"stream":true,"model":' + UPSTREAM + b"}"
    )


async def test_usage_is_asked_for_where_the_client_did_not_or_declined(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    await post(gateway, b'{"messages":[{"role":"user","content":"hi"}],"stream":true,"model":"gpt"}')
    assert (
        (await received(provider_a)).body
        == b"{" + USAGE + b'"messages":[{"role":"user","content":"hi"}],"stream":true,"model":' + UPSTREAM + b"}"
    )

    declined = b'"stream":true,"stream_options":{"include_usage":false},"model":"gpt"}'
    own = b'{"messages":[{"role":"user","content":"hi"}],' + declined
    await post(gateway, own)
    asked = own.replace(b'"include_usage":false', b'"include_usage":true')
    assert (await received(provider_a)).body == asked.replace(b'"gpt"', UPSTREAM)

    not_understood = b'{"messages":[{"role":"user","content":"hi"}],"stream":true,"model":"no-usage"}'
    await post(gateway, not_understood)
    assert (await received(provider_b)).body == not_understood


async def test_every_attempt_is_prepared_for_its_own_target(
    gateway: GatewayProcess, provider_a: ProviderProcess, provider_b: ProviderProcess
) -> None:
    await provider_a.abehave("status:500")
    body = b'{"messages":[{"role":"user","content":"hi"}],"model":"both","stream":true}'
    try:
        status, _ = await post(gateway, body)
    finally:
        await provider_a.abehave("ok")
    assert status == 200
    first, second = await received(provider_a), await received(provider_b)
    assert (
        first.body
        == b"{" + USAGE + b'"messages":[{"role":"user","content":"hi"}],"model":"first/longer-name","stream":true}'
    )
    assert second.body == b'{"messages":[{"role":"user","content":"hi"}],"model":"second","stream":true}'
    assert first.header("authorization") == "Bearer sk-provider-a"
    assert second.header("authorization") == "Bearer sk-provider-b"
    assert first.header("host") == f"127.0.0.1:{provider_a.port}"
    assert second.header("host") == f"127.0.0.1:{provider_b.port}"
    assert first.target == second.target == "/v1/chat/completions"


async def test_a_form_keeps_its_file_and_changes_its_model(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    audio = bytes(range(256)) * 100
    form = aiohttp.FormData()
    form.add_field("file", audio, filename="speech.wav", content_type="audio/wav")
    form.add_field("model", "whisper")
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.api_key}"}) as session,
        session.post(f"{gateway.base_url}/audio/transcriptions", data=form) as answer,
    ):
        assert answer.status == 200, await answer.text()
    seen = (await received(provider_a)).body or b""
    assert audio in seen
    assert b"\r\n\r\nwhisper-large\r\n" in seen


async def test_a_name_with_characters_that_json_escapes(
    gateway: GatewayProcess, provider_a: ProviderProcess
) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"RIFF", filename='"a"; b.wav', content_type="audio/wav")
    form.add_field("model", "голос")
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {gateway.api_key}"}) as session,
        session.post(f"{gateway.base_url}/audio/transcriptions", data=form) as answer,
    ):
        assert answer.status == 200, await answer.text()
    assert f"\r\n\r\n{NAME}\r\n".encode() in ((await received(provider_a)).body or b"")
    status, _ = await post(
        gateway, json.dumps({"model": "голос", "messages": [{"role": "user", "content": "hi"}]}).encode()
    )
    assert status == 200
    assert json.loads((await received(provider_a)).body or b"")["model"] == NAME


async def test_a_name_that_another_parser_reads_as_the_model(gateway: GatewayProcess) -> None:
    for body in (
        '{"model":"gpt","Model":"both"}',
        '{"model":"gpt","\u017ftream":true}',
        '{"model":"gpt","\\u004e":9}',
    ):
        status, answer = await post(gateway, body.encode())
        assert (status, answer["error"]["code"]) == (400, "ambiguous_parameter")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json; charset=utf-7"])
async def test_a_target_reads_json_as_json(
    gateway: GatewayProcess, provider_a: ProviderProcess, kind: str
) -> None:
    """Read by the stated content type, this body would name another model."""
    body = b'{"model":"gpt","messages":[{"role":"user","content":"hi"}],"x":"&model=b&+ACIALAAi-model+ACIAOgAi-b"}'
    status, _ = await post(gateway, body, content_type=kind)
    seen = await received(provider_a)
    assert (status, seen.header("content-type")) == (200, "application/json")


async def test_a_query_chooses_no_model(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    body = b'{"model":"gpt","messages":[]}'
    for query in ("model=both", "api-version=2024&Mo%64el=both", "stream=true"):
        status, answer = await post(gateway, body, path=f"/chat/completions?{query}")
        assert (status, answer["error"]["code"]) == (400, "ambiguous_parameter")


async def test_the_query_and_unknown_fields_pass(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    body = b'{"model":"gpt","messages":[{"role":"user","content":"hi"}],"x_vendor":{"deep":[1,2,{"a":null}]}}'
    await post(gateway, body, path="/chat/completions?api-version=2024&x=%20", user_agent="mine/1.0")
    seen = await received(provider_a)
    assert seen.target == "/v1/chat/completions?api-version=2024&x=%20"
    assert seen.header("user-agent") == "mine/1.0"
    assert seen.body == body.replace(b'"gpt"', UPSTREAM)
