"""Both databases, empty: fixtures for the conftest.py of whoever tests on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres import postgres_url
from xds_server.ledger.ledger import Ledger
from xds_server.store import DatabaseUrl, Store

__all__ = ["database", "key_file", "ledger", "open_store", "postgres_url", "store"]

OpenStore = Callable[[], Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseUrl:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return DatabaseUrl.of_file(tmp_path / "trunkline.db")
    return DatabaseUrl.parse(request.getfixturevalue("postgres_url"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "secret.key"


@pytest.fixture
def open_store(database: DatabaseUrl, key_file: Path) -> Iterator[OpenStore]:
    """Opens further stores on the same database, as other processes and replicas do."""
    opened: list[Store] = []

    def open_another() -> Store:
        store = Store.open(database, key_file=key_file)
        opened.append(store)
        return store

    yield open_another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    opened = Ledger(store.url, store.write_lock)
    yield opened
    opened.close()
