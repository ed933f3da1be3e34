"""Replicas learn of each other's changes, including those made while they could not listen."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer, launch, start_server
from xds_server.errors import DatabaseUnavailableError
from xds_server.store import AsyncStore, DatabaseUrl, Store, writing
from xds_server.store.notify import RevisionListener


async def add_organisation(store: AsyncStore, name: str) -> int:
    committed = await store.write("admin", lambda tx: writing.organisations.put(tx, name, limits=(), expected=0))
    return committed.revision


class Heard:
    """Revisions in the order in which they were reported."""

    def __init__(self) -> None:
        self.revisions: list[int] = []
        self._more = asyncio.Event()

    async def hear(self, revision: int) -> None:
        self.revisions.append(revision)
        self._more.set()

    async def until(self, revision: int) -> None:
        async with asyncio.timeout(60):
            while revision not in self.revisions:
                self._more.clear()
                await self._more.wait()


async def test_a_replica_hears_of_anothers_change(postgres_url: str, key_file: Path) -> None:
    url = DatabaseUrl.parse(postgres_url)
    writer, reader = (Store.open(url, key_file=key_file) for _ in range(2))
    heard = Heard()
    listening = asyncio.create_task(RevisionListener(url, heard.hear).run())
    await heard.until(0)
    first = await add_organisation(AsyncStore(writer), "acme")
    await heard.until(first)
    assert [each.name for each in (await AsyncStore(reader).load()).organisations.values()] == ["acme"]
    await AsyncStore(writer).write(
        "admin", lambda tx: writing.organisations.put(tx, "draft", limits=(), expected=0), dry_run=True
    )
    second = await add_organisation(AsyncStore(writer), "other")
    await heard.until(second)
    assert heard.revisions == [0, 1, 2]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    writer.close()
    reader.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = start_server()
    yield server
    server.stop()


@pytest.mark.postgres
async def test_a_server_that_was_away_is_found_again(own_server: PostgresServer, key_file: Path) -> None:
    url = DatabaseUrl.parse(own_server.url())
    store = Store.open(url, key_file=key_file)
    heard = Heard()
    listening = asyncio.create_task(RevisionListener(url, heard.hear).run())
    await add_organisation(AsyncStore(store), "acme")
    await heard.until(1)

    os.kill(own_server.process.pid, signal.SIGINT)
    await asyncio.to_thread(own_server.process.wait, 120)
    with pytest.raises(DatabaseUnavailableError):
        await AsyncStore(store).load()
    with pytest.raises(DatabaseUnavailableError):
        await add_organisation(AsyncStore(store), "lost")
    own_server.process = await asyncio.to_thread(launch, own_server.binaries, own_server.directory)

    assert await add_organisation(AsyncStore(store), "other") == 2
    await heard.until(2)
    assert len((await AsyncStore(store).load()).organisations) == 2
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    store.close()


def test_sqlite_has_nobody_to_listen_to(tmp_path: Path) -> None:
    async def nobody(revision: int) -> None: ...

    with pytest.raises(ValueError, match="one control plane"):
        RevisionListener(DatabaseUrl.of_file(tmp_path / "t.db"), nobody)
