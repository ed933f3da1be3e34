"""Requests that name no model go to the operator's default, and the target receives a model."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import provider_entry
from tests.gateway.process import GatewayProcess

UPSTREAM = 'vendor/"omni"'
#: JSON bodies without a model, as in OpenAI's documentation.
JSON: dict[str, dict[str, Any]] = {
    "moderations": {"input": "I want no violence."},
    "images/generations": {"prompt": "a trunk line"},
    "responses": {"input": "Say hello"},
    "chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "stream": True},
}
#: Forms: a field and a file.
FORMS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "images/edits": ({"prompt": "a trunk line"}, {"image": ("a.png", b"\x89PNG", "image/png")}),
    "audio/transcriptions": ({"language": "en"}, {"file": ("a.wav", b"RIFF", "audio/wav")}),
}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "omni", "targets": [{"provider": "a", "model": UPSTREAM}]}],
        "defaults": {**dict.fromkeys([*JSON, *FORMS], "omni"), "audio/speech": "gone"},
    }


async def ask(gateway: GatewayProcess, path: str, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    async with httpx.AsyncClient(base_url=gateway.origin, timeout=240) as client:
        return await client.post(f"/v1/{path}", headers=headers, **options)


def client(gateway: GatewayProcess) -> openai.OpenAI:
    return openai.OpenAI(api_key=gateway.api_key, base_url=gateway.base_url, max_retries=0, timeout=240)


def test_openais_client_gets_a_moderation_and_an_image(gateway: GatewayProcess) -> None:
    with client(gateway) as ai:
        (judged,) = ai.moderations.create(input="I want no violence.").results
        assert judged.flagged
        assert judged.categories.violence
        assert (ai.images.generate(prompt="a trunk line").data or [])[0].b64_json
        assert (ai.images.edit(image=("a.png", b"\x89PNG"), prompt="a trunk line").data or [])[0].b64_json


@pytest.mark.parametrize("named", [{}, {"model": None}, {"model": ""}, {"model": "omni"}], ids=str)
@pytest.mark.parametrize("endpoint", JSON)
async def test_json_arrives_with_the_targets_model(
    gateway: GatewayProcess, provider_a: ProviderProcess, endpoint: str, named: dict[str, Any]
) -> None:
    answer = await ask(gateway, endpoint, json={**JSON[endpoint], **named})
    assert answer.status_code == 200, answer.text
    received = (await provider_a.arequests())[-1].json()
    if received.pop("stream_options", None) is not None:  # the gateway asks for a stream's usage
        assert received["stream"]
    assert received == {**JSON[endpoint], "model": UPSTREAM}


@pytest.mark.parametrize("named", [{}, {"model": ""}, {"model": "omni"}], ids=str)
@pytest.mark.parametrize("endpoint", FORMS)
async def test_a_form_arrives_with_the_targets_model(
    gateway: GatewayProcess, provider_a: ProviderProcess, endpoint: str, named: dict[str, str]
) -> None:
    fields, files = FORMS[endpoint]
    answer = await ask(gateway, endpoint, data={**fields, **named}, files=files)
    assert answer.status_code == 200, answer.text
    body = (await provider_a.arequests())[-1].body
    assert body is not None
    assert body.count(b'name="model"\r\n\r\n' + UPSTREAM.encode() + b"\r\n") == 1
    for name in ("model", *fields, *files):
        assert body.count(f'name="{name}"'.encode()) == 1


@pytest.mark.parametrize(
    ("endpoint", "code"), [("embeddings", "missing_model"), ("audio/speech", "model_not_found")]
)
async def test_what_is_missing_is_reported(gateway: GatewayProcess, endpoint: str, code: str) -> None:
    answer = await ask(gateway, endpoint, json={"input": "x"})
    assert answer.json()["error"]["code"] == code


async def test_another_default_holds_at_once(gateway: GatewayProcess, config: dict[str, Any]) -> None:
    await asyncio.to_thread(gateway.apply, {**config, "defaults": {"embeddings": "omni"}})
    assert (await ask(gateway, "embeddings", json={"input": "Hi"})).status_code == 200
    refused = await ask(gateway, "moderations", json=JSON["moderations"])
    assert refused.json()["error"]["code"] == "missing_model"
    await asyncio.to_thread(gateway.apply, config)
