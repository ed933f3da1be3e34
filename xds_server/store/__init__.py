"""The desired state, versioned, audited, in SQLite or PostgreSQL.

`Store` is synchronous, `AsyncStore` runs it in threads; `notify` tells replicas of each other's changes.
"""

from xds_server.store.facade import AsyncStore
from xds_server.store.records import AuditEvent, AuditQuery, KeyRecord
from xds_server.store.store import DEFAULT_ORGANISATION, Committed, Store
from xds_server.store.url import DatabaseUrl

__all__ = [
    "DEFAULT_ORGANISATION",
    "AsyncStore",
    "AuditEvent",
    "AuditQuery",
    "Committed",
    "DatabaseUrl",
    "KeyRecord",
    "Store",
]
