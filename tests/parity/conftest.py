from tests.xds_server.ledger.conftest import database, key_file, ledger, open_store, postgres_url, reader, store

__all__ = ["database", "key_file", "ledger", "open_store", "postgres_url", "reader", "store"]
