"""The SQLAlchemy engine of the write side. Its transactions write, so they take the write lock at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from xds_server.errors import DatabaseUnavailableError
from xds_server.store.connection import connect_postgresql, connect_sqlite
from xds_server.store.url import DatabaseUrl


def make_engine(url: DatabaseUrl) -> Engine:
    """Returns an engine that connects when first used."""
    if url.path is None:
        conninfo = url.conninfo
        # psycopg parses the URL, so that every libpq parameter works.
        return create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect_postgresql(conninfo),
            pool_size=2,
            pool_pre_ping=True,
            hide_parameters=True,
        )
    path = url.path
    engine = create_engine("sqlite://", creator=lambda: connect_sqlite(path), pool_size=1, hide_parameters=True)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin_immediate)
    return engine


@contextmanager
def unavailable() -> Iterator[None]:
    """Turns the database's own operational errors into DatabaseUnavailableError."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or type(error).__name__ in {"OperationalError", "InterfaceError"}:
            reason = str(error.orig).strip().splitlines()[:1]
            raise DatabaseUnavailableError(
                f"the database could not complete the write: {''.join(reason)}"
            ) from error
        raise


def _leave_transactions_to_us(connection: Any, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later could find another writer in between, and would fail at once.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
