"""The ledger's writing connection: short transactions, one after the other, between those of the Admin API."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from xds_server.errors import DatabaseUnavailableError, UnstorableError
from xds_server.store.connection import DatabaseSnapshot, connect_postgresql, connect_sqlite
from xds_server.store.same_file import SameFile
from xds_server.store.url import DatabaseUrl

#: "ledge" as a number: only one of several control planes writes to the ledger at a time. A transaction therefore
#: knows which records are new and how many tags an hour has, and no two transactions wait for each other's rows.
_ADVISORY_LOCK = 0x6C65646765
#: Values of one statement.
_PARAMETERS = 5_000


class LedgerTransaction(DatabaseSnapshot):
    """An open transaction that can write."""

    def run(self, statement: str, *parameters: object) -> int:
        """Runs a statement. Returns how many rows it changed."""
        self._cursor.execute(statement.replace("?", self._placeholder), parameters)
        return int(self._cursor.rowcount)

    def many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Runs a statement once for each of `rows`."""
        if rows:
            self._cursor.executemany(statement.replace("?", self._placeholder), rows)

    def insert(
        self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]], on_conflict: str = ""
    ) -> int:
        """Inserts rows. Returns how many were inserted or changed.

        `columns` come with PostgreSQL's types. In PostgreSQL, a statement for each row would cost ten times as
        much as one with arrays; in SQLite it is the fastest.
        """
        if not rows:
            return 0
        into = f"INSERT INTO {table} ({', '.join(columns)})"
        if self.is_sqlite:
            self._cursor.executemany(f"{into} VALUES ({', '.join('?' * len(columns))}) {on_conflict}", rows)
        else:
            arrays = ", ".join(f"%s::{type_}[]" for type_ in columns.values())
            statement = f"{into} SELECT * FROM unnest({arrays}) {on_conflict}"  # noqa: S608
            self._cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])
        return int(self._cursor.rowcount)


def where_in(snapshot: DatabaseSnapshot, statement: str, values: Collection[object]) -> list[tuple[Any, ...]]:
    """Runs a query in parts: databases accept a limited number of parameters."""
    found, rest = [], list(values)
    while rest:
        part, rest = rest[:_PARAMETERS], rest[_PARAMETERS:]
        found += snapshot.rows(f"{statement} IN ({', '.join('?' * len(part))})", *part)
    return found


def on_conflict_add(table: str, key: Iterable[str], sums: Iterable[str]) -> str:
    """Returns an `on_conflict` for `insert` that adds to the row with the same key, if there is one."""
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}"


class Writer(Protocol):
    """Opens transactions; thread-safe."""

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Opens a transaction that commits at the end and rolls back on an exception.

        Raises DatabaseUnavailableError, UnstorableError.
        """
        ...

    def close(self) -> None:
        """Closes the connection. A later transaction opens another one."""


def open_writer(url: DatabaseUrl, lock: threading.Lock) -> Writer:
    """Opens the writer. Every writer in this process holds `lock`: SQLite has one writer, and its own queue is
    unfair.
    """
    return PostgresqlWriter(url.conninfo) if url.path is None else SqliteWriter(url, lock)


class SqliteWriter:
    """Writes to SQLite. Connects when first used."""

    def __init__(self, url: DatabaseUrl, lock: threading.Lock) -> None:
        assert url.path is not None  # noqa: S101  # open_writer asks
        self._path = url.path
        self._same = SameFile(url.path)
        self._lock = lock
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Opens a write transaction, and waits for other writers. Raises UnstorableError or
        DatabaseUnavailableError.
        """
        with self._lock:
            try:
                self._same.require()
                if self._connection is None:
                    self._connection = connect_sqlite(self._path)
                connection = self._connection
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield LedgerTransaction(connection.cursor(), placeholder="?")
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as error:
                raise UnstorableError(f"SQLite: {error}") from error
            except sqlite3.OperationalError as error:
                raise DatabaseUnavailableError(f"{self._path}: cannot write the ledger: {error}") from error

    def close(self) -> None:
        """Closes the connection. A later transaction opens another one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class PostgresqlWriter:
    """Writes to PostgreSQL over one connection, made when first used and again after it was lost."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._lock = threading.Lock()
        self._connection: Any = None

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Opens a transaction under the ledger's lock. Raises UnstorableError or DatabaseUnavailableError."""
        import psycopg  # noqa: PLC0415

        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect_postgresql(self._conninfo)
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
                    yield LedgerTransaction(cursor, placeholder="%s")
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                raise UnstorableError(f"PostgreSQL: {str(error).strip().partition(chr(10))[0]}") from error
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._drop()
                reason = str(error).strip().partition("\n")[0]
                raise DatabaseUnavailableError(
                    f"PostgreSQL could not complete the ledger's write: {reason}"
                ) from error

    def close(self) -> None:
        """Closes the connection. A later transaction opens another one."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
