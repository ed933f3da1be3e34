from tests.xds_server.admin.conftest import admin as admin_service
from tests.xds_server.ledger.conftest import database, key_file, ledger, open_store, reader, store

__all__ = ["admin_service", "database", "key_file", "ledger", "open_store", "reader", "store"]
