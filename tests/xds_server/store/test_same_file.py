"""A database file that was deleted or replaced: nothing is written to a file that nobody will read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xds_server.errors import DatabaseReplacedError
from xds_server.ledger.connection import open_writer
from xds_server.store import DatabaseUrl, Store, writing


def opened(directory: Path) -> Store:
    return Store.open(DatabaseUrl.of_file(directory / "trunkline.db"), key_file=directory / "secret.key")


def put(store: Store, name: str) -> None:
    store.write("test", lambda tx: writing.organisations.put(tx, name, limits=(), expected=None))


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_reads_and_writes_are_refused_and_say_what_to_do(tmp_path: Path, how: str) -> None:
    store = opened(tmp_path)
    path = tmp_path / "trunkline.db"
    try:
        put(store, "before")
        writer = open_writer(store.url, store.write_lock)
        if how == "replaced":
            shutil.copy(path, tmp_path / "copy")
        path.rename(tmp_path / "away")
        if how == "replaced":
            (tmp_path / "copy").rename(path)
        for attempt in (store.load, lambda: put(store, "after"), lambda: writer.transaction().__enter__()):
            with pytest.raises(DatabaseReplacedError, match=f"was {how}.*Move the right file"):
                attempt()
        (tmp_path / "away").rename(path)
        put(store, "after")
        assert {each.name for each in store.load().organisations.values()} == {"before", "after"}
        with writer.transaction():
            pass
        writer.close()
    finally:
        store.close()
