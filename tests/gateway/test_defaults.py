"""Requests that name no model go to the one that the gateway's operator named, and the target is sent a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess

UPSTREAM = 'vendor/"omni"'
FILES = {"file": ("a.wav", b"RIFF", "audio/wav")}


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "routes": [{"model": "omni", "targets": [{"provider": "a", "model": UPSTREAM}]}],
        "defaults": {"embeddings": "omni", "audio/transcriptions": "omni", "images/generations": "gone"},
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    with GatewayProcess(data_dir, config, environment=PROVIDER_CREDENTIALS) as running:
        yield running


async def ask(gateway: GatewayProcess, path: str, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    async with httpx.AsyncClient(base_url=gateway.origin, timeout=60) as client:
        return await client.post(f"/v1/{path}", headers=headers, **options)


@pytest.mark.parametrize("named", [{}, {"model": None}, {"model": ""}, {"model": "omni"}], ids=str)
async def test_json_arrives_with_the_targets_model(
    gateway: GatewayProcess, provider_a: ProviderProcess, named: dict[str, Any]
) -> None:
    answer = await ask(gateway, "embeddings", json={"input": "Hi", **named})
    assert answer.status_code == 200, answer.text
    assert (await provider_a.arequests())[-1].json() == {"model": UPSTREAM, "input": "Hi"}


@pytest.mark.parametrize("named", [{}, {"model": ""}, {"model": "omni"}], ids=str)
async def test_a_form_arrives_with_the_targets_model(
    gateway: GatewayProcess, provider_a: ProviderProcess, named: dict[str, str]
) -> None:
    answer = await ask(gateway, "audio/transcriptions", data={"language": "en", **named}, files=FILES)
    assert answer.status_code == 200, answer.text
    body = (await provider_a.arequests())[-1].body
    assert body is not None
    assert body.count(b'name="model"\r\n\r\n' + UPSTREAM.encode() + b"\r\n") == 1
    assert body.count(b'name="model"') == body.count(b'name="language"') == 1


@pytest.mark.parametrize(
    ("path", "code"), [("moderations", "missing_model"), ("images/generations", "model_not_found")]
)
async def test_what_is_missing_is_told(gateway: GatewayProcess, path: str, code: str) -> None:
    answer = await ask(gateway, path, content=json.dumps({"input": "x", "prompt": "x"}))
    assert answer.json()["error"]["code"] == code
