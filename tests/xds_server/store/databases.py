"""Fixtures with both databases, SQLite and PostgreSQL, for a conftest.py or a test module to import.

The migrations run once per test process: every other database is a copy of that result.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres import new_database, new_template
from xds_server.ledger.ledger import Ledger
from xds_server.store import DatabaseUrl, Store, connection, schema
from xds_server.store.connection import open_reader

OpenStore = Callable[[], Store]

both = pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])


@both
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseUrl]:
    """A database of either kind, with the newest schema and no rows."""
    if request.param == "sqlite":
        yield new_sqlite(tmp_path / "trunkline.db")
    else:
        with new_database(template=_migrated_postgres()) as url:
            yield DatabaseUrl.parse(url)


@both
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseUrl]:
    """A database of either kind, without a schema. A module that tests migrations imports it as `database`."""
    if request.param == "sqlite":
        yield DatabaseUrl.of_file(tmp_path / "trunkline.db")
    else:
        with new_database() as url:
            yield DatabaseUrl.parse(url)


def new_sqlite(path: Path) -> DatabaseUrl:
    """Writes a database with the newest schema and no rows to `path`."""
    path.touch(mode=0o600)
    path.write_bytes(_migrated_sqlite())
    return DatabaseUrl.of_file(path)


@functools.cache
def _migrated_sqlite() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template.db"
        _migrate(DatabaseUrl.of_file(path))
        return path.read_bytes()


@functools.cache
def _migrated_postgres() -> str:
    """Returns the name of the database that new ones are copied from."""
    name, url = new_template()
    _migrate(DatabaseUrl.parse(url))
    return name


def _migrate(url: DatabaseUrl) -> None:
    reader = open_reader(url)
    schema.bring_to_head(reader, url, lambda step: None)
    reader.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "secret.key"


@pytest.fixture
def open_store(database: DatabaseUrl, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenStore]:
    """Opens further stores on the same database, like other processes and replicas.

    One of several stores may wait long for the others: SQLite's queue is unfair, and the disk of a busy machine is
    slow.
    """
    monkeypatch.setattr(connection, "BUSY_SECONDS", 120.0)
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
