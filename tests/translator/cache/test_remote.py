"""Cached answers in a real Redis, and in one that is away, slow or contains something else."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.fakes.certificates import CertificateAuthority
from tests.redis_server import RedisServer
from tests.waiting import until_answered
from translator.cache import remote
from translator.cache.answers import LONGEST, CachedAnswer
from translator.cache.key import CacheRule, CacheScope
from translator.cache.remote import RemoteStore
from translator.cache.stores import Stores

pytestmark = pytest.mark.redis

PATIENCE = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RemoteStore]:
    monkeypatch.setattr(remote, "_REST", 0.05)
    made = RemoteStore(server.address, structlog.get_logger(), patience=PATIENCE)
    yield made
    await made.close()


def answer(seconds: float = 60.0) -> CachedAnswer:
    now = time.time()
    return CachedAnswer(True, "text/event-stream", b"\x00data: 1\n\n\xff" * 1_000, b"usage", now, now + seconds, 7)


async def test_what_is_put_is_there_byte_for_byte(store: RemoteStore) -> None:
    cached = answer()
    await store.put(b"\x00keye", "rt", cached)
    assert await store.get(b"\x00keye") == cached
    assert await store.get(b"\x00keze") is None
    assert store.failures == 0


async def test_another_gateway_has_it_too(server: RedisServer, store: RemoteStore) -> None:
    other = RemoteStore(server.address.replace("redis", "valkey"), structlog.get_logger(), patience=PATIENCE)
    await store.put(b"ke", "rt", answer())
    assert await other.get(b"ke") is not None
    await other.close()


async def test_its_time_ends_there(server: RedisServer, store: RemoteStore) -> None:
    await store.put(b"ke", "rt", answer(60.0))
    client = Redis.from_url(server.address)
    (name,) = await client.keys()
    assert 0 < await client.pttl(name) <= 60_000
    await client.aclose()
    await store.put(b"briefe", "rt", answer(0.01))

    async def forgotten() -> bool:
        return await store.get(b"briefe") is None

    await until_answered(forgotten, PATIENCE)


async def test_what_is_no_answer_is_not_given_out(server: RedisServer, store: RemoteStore) -> None:
    await store.put(b"ke", "rt", answer())
    client = Redis.from_url(server.address)
    (name,) = await client.keys()
    await client.set(name, b"something else")
    assert await store.get(b"ke") is None
    await client.delete(name)
    await client.rpush(name, b"a list")
    assert await store.get(b"ke") is None
    await client.aclose()


@pytest.mark.parametrize(
    "changed",
    [
        {"content_type": "text/event-stream\nset-cookie: a=b"},
        {"content_type": "text/\u2028"},
        {"streams": False},
        {"body": b"x" * (LONGEST + 1)},
        {"saved": -1},
        {"saved": 2**63},
        {"until": float("nan")},
    ],
)
async def test_an_answer_that_no_translator_wrote_is_not_returned(
    store: RemoteStore, changed: dict[str, Any]
) -> None:
    await store.put(b"ke", "rt", answer())
    sound = await store.get(b"ke")
    assert sound is not None
    client = Redis.from_url(store._address)
    (name,) = await client.keys()
    await client.set(name, msgspec.msgpack.encode(msgspec.structs.replace(sound, **changed)))
    await client.aclose()
    assert await store.get(b"ke") is None
    assert store.failures == 0


async def test_many_at_once_are_all_answered(store: RemoteStore) -> None:
    await store.put(b"ke", "rt", answer())
    found = await asyncio.gather(*(store.get(b"ke") for _ in range(500)))
    assert all(found)
    assert store.failures == 0


async def test_a_store_that_is_away_is_a_miss_and_comes_back(server: RedisServer, store: RemoteStore) -> None:
    await store.put(b"ke", "rt", answer())
    server.stop()
    assert await store.get(b"ke") is None
    await store.put(b"ke", "rt", answer())
    assert store.failures >= 1
    server.start()

    async def stored() -> bool:
        await store.put(b"ke", "rt", answer())
        return await store.get(b"ke") is not None

    await until_answered(stored, PATIENCE)


async def test_a_store_that_is_slow_is_waited_for_a_moment_and_then_left_alone(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_REST", PATIENCE)
    store = RemoteStore(server.address, structlog.get_logger(), patience=60.0)
    await store.put(b"ke", "rt", answer())
    assert store.failures == 0
    store._patience = 0.05
    server.send(signal.SIGSTOP)
    try:
        assert await asyncio.wait_for(store.get(b"ke"), PATIENCE) is None
        for _ in range(100):
            assert await store.get(b"ke") is None
        assert store.failures == 1
    finally:
        server.send(signal.SIGCONT)
    await store.close()


def signing_in(server: RedisServer, name: str, *, query: str = "") -> str:
    """Returns the address with a name and a password, as the control plane writes it."""
    return server.address.replace("://", f"://{name}@") + query


async def kept_there(address: str) -> tuple[bool, int]:
    """Returns whether an answer is there after it was put, and the failures."""
    store = RemoteStore(address, structlog.get_logger(), patience=PATIENCE)
    await store.put(b"ke", "rt", answer())
    found = await store.get(b"ke")
    await store.close()
    return found is not None, store.failures


async def test_a_store_with_a_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "a p@ss:word/") as server:
        assert await kept_there(signing_in(server, ":a%20p%40ss%3Aword%2F")) == (True, 0)
        for wrong in (":other", "default:", ""):
            with capture_logs() as logs:
                assert await kept_there(signing_in(server, wrong)) == (False, 1)
            assert "other" not in str(logs)
            assert str(server.port) not in str(logs)


async def test_a_store_with_users(tmp_path: Path) -> None:
    users = ("default off", "trunkline on >secret ~trunkline:cache:* +get +set")
    words = [word for user in users for word in ("--user", *user.split())]
    with RedisServer(tmp_path, *words) as server:
        assert await kept_there(signing_in(server, "trunkline:secret")) == (True, 0)
        assert await kept_there(signing_in(server, "other:secret")) == (False, 1)


async def test_a_store_with_tls(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "secret", authority=CertificateAuthority()) as server:
        trusting = f"?ssl_ca_certs={server.ca_file}"
        assert await kept_there(signing_in(server, ":secret", query=trusting)) == (True, 0)
        with capture_logs() as logs:
            assert await kept_there(signing_in(server, ":secret")) == (False, 1)
        assert "secret" not in str(logs)


async def test_an_address_that_is_none_any_more_is_left(server: RedisServer) -> None:
    stores = Stores(structlog.get_logger())
    first = stores.of(rule(server.address))
    assert isinstance(first, RemoteStore)
    await first.get(b"ke")
    second = stores.of(rule(server.address.replace("/0", "/1")))
    assert second is not first
    assert stores.of(rule(server.address.replace("/0", "/1"))) is second
    async with asyncio.timeout(PATIENCE):
        while first._client is not None:
            await asyncio.sleep(0)
    await stores.close()


def rule(store: str) -> CacheRule:
    return CacheRule(60, CacheScope.ORGANISATION, 0, store=store)
