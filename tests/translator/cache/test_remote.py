"""Answers in a real Redis, and in one that is away, slow or holds something else."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from redis.asyncio import Redis

from translator.cache import remote
from translator.cache.answers import Kept
from translator.cache.remote import RemoteStore

PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """`redis-server` on a port of its own; nothing of it is written to disk."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.address = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(command, cwd=self._directory, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, "redis-server does not listen"
                time.sleep(0.02)
            else:
                return

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RemoteStore]:
    monkeypatch.setattr(remote, "_REST", 0.05)
    made = RemoteStore(server.address, structlog.get_logger(), patience=PATIENCE)
    yield made
    await made.close()


def answer(seconds: float = 60.0) -> Kept:
    now = time.time()
    return Kept(True, "text/event-stream", b"\x00data: 1\n\n\xff" * 1_000, b"usage", now, now + seconds, 7)


async def test_what_is_put_is_there_byte_for_byte(store: RemoteStore) -> None:
    kept = answer()
    await store.put(b"\x00key", "rt", kept)
    assert await store.get(b"\x00key") == kept
    assert await store.get(b"\x00kez") is None
    assert store.failures == 0


async def test_another_gateway_has_it_too(server: Server, store: RemoteStore) -> None:
    other = RemoteStore(server.address.replace("redis", "valkey"), structlog.get_logger(), patience=PATIENCE)
    await store.put(b"k", "rt", answer())
    assert await other.get(b"k") is not None
    await other.close()


async def test_its_time_ends_there(server: Server, store: RemoteStore) -> None:
    await store.put(b"k", "rt", answer(60.0))
    client = Redis.from_url(server.address)
    (name,) = await client.keys()
    assert 0 < await client.pttl(name) <= 60_000
    await client.aclose()
    await store.put(b"brief", "rt", answer(0.01))
    async with asyncio.timeout(PATIENCE):
        while await store.get(b"brief") is not None:
            await asyncio.sleep(0.01)


async def test_what_is_no_answer_is_not_given_out(server: Server, store: RemoteStore) -> None:
    await store.put(b"k", "rt", answer())
    client = Redis.from_url(server.address)
    (name,) = await client.keys()
    await client.set(name, b"something else")
    assert await store.get(b"k") is None
    await client.delete(name)
    await client.rpush(name, b"a list")
    assert await store.get(b"k") is None
    await client.aclose()


async def test_a_store_that_is_away_is_a_miss_and_comes_back(server: Server, store: RemoteStore) -> None:
    await store.put(b"k", "rt", answer())
    server.stop()
    assert await store.get(b"k") is None
    await store.put(b"k", "rt", answer())
    assert store.failures >= 1
    server.start()
    async with asyncio.timeout(PATIENCE):
        while await store.get(b"k") is None:
            await store.put(b"k", "rt", answer())
            await asyncio.sleep(0.02)


async def test_a_store_that_is_slow_is_waited_for_a_moment_and_then_left_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_REST", PATIENCE)
    store = RemoteStore(server.address, structlog.get_logger(), patience=5.0)
    await store.put(b"k", "rt", answer())
    assert store.failures == 0
    store._patience = 0.05
    server.send(signal.SIGSTOP)
    try:
        assert await asyncio.wait_for(store.get(b"k"), PATIENCE) is None
        for _ in range(100):
            assert await store.get(b"k") is None
        assert store.failures == 1
    finally:
        server.send(signal.SIGCONT)
    await store.close()
