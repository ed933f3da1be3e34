"""Fixtures for alerts on both databases."""

from __future__ import annotations

from tests.xds_server.store.databases import database, key_file, ledger, open_store, store

__all__ = ["database", "key_file", "ledger", "open_store", "store"]
