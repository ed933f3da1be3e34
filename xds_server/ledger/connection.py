"""The ledger's writing connection: one short transaction after the other, beside the Admin API's."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from xds_server.errors import DatabaseUnavailableError, UnstorableError
from xds_server.store.connection import DatabaseSnapshot, connect_postgresql, connect_sqlite
from xds_server.store.same_file import SameFile
from xds_server.store.url import DatabaseUrl

#: "ledge" as a number: of several control planes, one at a time writes to the ledger. So it is known which records
#: are new and how many tags an hour has, and no two transactions wait for each other's rows.
_ADVISORY_LOCK = 0x6C65646765


class LedgerTransaction(DatabaseSnapshot):
    """An open transaction that writes."""

    def run(self, statement: str, *parameters: object) -> int:
        """How many rows it changed."""
        self._cursor.execute(statement.replace("?", self._placeholder), parameters)
        return int(self._cursor.rowcount)

    def many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Once for each of `rows`."""
        if rows:
            self._cursor.executemany(statement.replace("?", self._placeholder), rows)

    def insert(
        self, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]], on_conflict: str = ""
    ) -> int:
        """How many of `rows` it put in or changed. `columns` are with PostgreSQL's types: there, a statement for
        each row costs ten times as much as one with arrays, and in SQLite it is the fastest.
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


def on_conflict_add(table: str, key: Iterable[str], sums: Iterable[str]) -> str:
    """For `insert`: adds to the row with the same key, if there is one."""
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {added}"


class Writer(Protocol):
    """Opens transactions; thread-safe."""

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
        """Committed at the end, rolled back for what is raised.

        Raises DatabaseUnavailableError, UnstorableError.
        """
        ...

    def close(self) -> None: ...


def open_writer(url: DatabaseUrl, lock: threading.Lock) -> Writer:
    """`lock` is held by whoever writes in this process: SQLite has one writer, and its own queue is unfair."""
    return PostgresqlWriter(url.conninfo) if url.path is None else SqliteWriter(url, lock)


class SqliteWriter:
    """Connects when first used."""

    def __init__(self, url: DatabaseUrl, lock: threading.Lock) -> None:
        assert url.path is not None  # noqa: S101  # open_writer asks
        self._path = url.path
        self._same = SameFile(url.path)
        self._lock = lock
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
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
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class PostgresqlWriter:
    """One connection, made when first used and again when it was lost."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._lock = threading.Lock()
        self._connection: Any = None

    @contextmanager
    def transaction(self) -> Iterator[LedgerTransaction]:
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
                raise DatabaseUnavailableError(f"PostgreSQL did not take the ledger: {reason}") from error

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
