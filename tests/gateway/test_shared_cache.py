"""Answers in a Redis with a password: they outlive the translator, and nothing else has a prompt or the secret."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.fakes.certificates import CertificateAuthority
from tests.fakes.provider_process import ProviderProcess
from tests.gateway.conftest import PROVIDER_CREDENTIALS, provider_entry
from tests.gateway.process import GatewayProcess
from tests.gateway.test_cache import VALUE, ask, kept
from tests.gateway.usage import ready
from tests.redis_server import RedisServer
from tests.waiting import until_answered

pytestmark = pytest.mark.redis

PASSWORD = "the-password-of-the-store"
PROMPT = "a-prompt-that-nobody-else-reads"
_HASHED = re.compile(rb"trunkline:cache:1:.{32}[ep]", re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory = tmp_path_factory.mktemp("redis")
    with RedisServer(directory, "--requirepass", PASSWORD, authority=CertificateAuthority()) as running:
        yield running


@pytest.fixture(scope="module")
def config(provider_a: ProviderProcess, server: RedisServer) -> dict[str, Any]:
    return {
        "version": 1,
        "providers": [provider_entry(provider_a)],
        "organisations": [{"name": "acme", "keys": [{"name": "one", "value": VALUE}]}],
        "routes": [
            {"model": "cached", "cache": {"ttl": "1h"}, "targets": [{"provider": "a", "model": "gpt-4.1"}]}
        ],
        "cache": {"store": server.address, "password": "env:CACHE_PASSWORD", "ca_file": str(server.ca_file)},
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Iterator[GatewayProcess]:
    data_dir: Path = tmp_path_factory.mktemp("gw") / "data"
    environment = {**PROVIDER_CREDENTIALS, "CACHE_PASSWORD": PASSWORD}
    with GatewayProcess(data_dir, config, environment=environment) as running:
        yield running


async def test_an_answer_outlives_the_translator(gateway: GatewayProcess, provider_a: ProviderProcess) -> None:
    first = await kept(gateway, PROMPT)
    seen = len(await provider_a.arequests())
    gateway.kill("translator")
    await until_answered(lambda: ready(gateway))
    # The translator waits only briefly for the store, and may miss an answer.
    async with asyncio.timeout(60):
        while (again := await ask(gateway, PROMPT)).how != "hit":
            assert again.status == 200
    assert int(again.headers["age"]) >= 0
    assert again.text == first.text
    assert len(await provider_a.arequests()) >= seen


async def test_entries_are_named_by_a_hash(gateway: GatewayProcess, server: RedisServer) -> None:
    await kept(gateway, PROMPT)
    client = Redis.from_url(f"{server.address}?ssl_ca_certs={server.ca_file}", password=PASSWORD)
    names = await client.keys()
    await client.aclose()
    assert names
    assert all(isinstance(name, bytes) and _HASHED.fullmatch(name) for name in names)


async def test_nothing_of_a_prompt_and_no_secret_is_in_logs_or_exports(gateway: GatewayProcess) -> None:
    await kept(gateway, PROMPT)
    await ask(gateway, PROMPT, control="no-store")
    logs = [path.read_text() for path in (gateway.data_dir / "log").iterdir()] + [gateway.errors_file.read_text()]
    shown = [gateway.run(*words).stdout for words in (("export",), ("audit",), ("gateway", "show"), ("status",))]
    assert any(logs)
    for text in (*logs, *shown):
        assert PASSWORD not in text
        assert PROMPT not in text
    assert all(PASSWORD.encode() not in path.read_bytes() for path in gateway.data_dir.glob("*.db*"))
