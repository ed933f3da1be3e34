"""Fixtures for the ledger on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import postgres_url
from tests.xds_server.store.databases import database, key_file, ledger, open_store, store
from xds_server.ledger.reader import LedgerReader
from xds_server.store import Store

__all__ = ["database", "key_file", "ledger", "open_store", "postgres_url", "store"]


@pytest.fixture
def reader(store: Store) -> Iterator[LedgerReader]:
    opened = LedgerReader(store.url)
    yield opened
    opened.close()
