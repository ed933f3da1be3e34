"""Fixtures for nodes on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.xds_server.store.databases import database, key_file, open_store, store
from xds_server.ledger.ledger import Ledger
from xds_server.store import Store

__all__ = ["database", "key_file", "open_store", "store"]


@pytest.fixture
def tables(store: Store) -> Iterator[Ledger]:
    opened = Ledger(store.url, store.write_lock)
    yield opened
    opened.close()
