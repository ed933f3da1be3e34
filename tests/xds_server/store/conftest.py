from tests.postgres import postgres_url
from tests.xds_server.store.databases import database, key_file, open_store, store

__all__ = ["database", "key_file", "open_store", "postgres_url", "store"]
