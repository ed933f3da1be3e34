"""Plain DB-API connections: opens both databases, and reads them consistently without an ORM.

Reading needs neither SQLAlchemy nor SQLModel: they take 0.4 s to import, which a start with an up-to-date database
avoids.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xds_server.errors import DatabaseUnavailableError
from xds_server.store.same_file import SameFile
from xds_server.store.url import DatabaseUrl

if TYPE_CHECKING:
    import psycopg

#: Seconds that a connection waits for another writer.
BUSY_SECONDS = 10.0
#: PostgreSQL's notification channel; the payload is the revision.
CHANNEL = "trunkline_state"

Row = tuple[Any, ...]


class DatabaseSnapshot:
    """One consistent view of the database. `?` marks parameters on either database."""

    def __init__(self, cursor: Any, *, placeholder: str) -> None:
        self._cursor = cursor
        self._placeholder = placeholder

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, False for PostgreSQL."""
        return self._placeholder == "?"

    def rows(self, statement: str, *parameters: object) -> list[Row]:
        """Returns the rows of a statement with `?` for each parameter, whichever the database."""
        self._cursor.execute(statement.replace("?", self._placeholder), parameters)
        rows: list[Row] = self._cursor.fetchall()
        return rows


class DatabaseReader(Protocol):
    """Opens consistent views; thread-safe."""

    def snapshot(self) -> AbstractContextManager[DatabaseSnapshot]:
        """Opens a view. Raises DatabaseUnavailableError."""
        ...

    def require(self) -> None:
        """Raises DatabaseReplacedError if the database's file was replaced."""
        ...

    def close(self) -> None:
        """Closes the connection once no snapshot is open."""


def connect_sqlite(path: Path) -> sqlite3.Connection:
    """Opens SQLite with WAL, so that readers never wait for the writer.

    synchronous FULL: a commit is on disk when it is acknowledged, or a power cut could bring a revoked key back.
    Writes are an operator's, so the cost of fsync does not matter.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _switch_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switches to WAL, which needs the file exclusively for a moment; SQLite's busy timeout does not cover others
    holding it then.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def connect_postgresql(conninfo: str) -> psycopg.Connection:
    """Connects to PostgreSQL. Raises psycopg.OperationalError."""
    import psycopg  # noqa: PLC0415  # not needed, and 0.14 s, with SQLite

    return psycopg.connect(**postgresql_parameters(conninfo))


def postgresql_parameters(conninfo: str) -> dict[str, Any]:
    """Returns libpq parameters: the URL's, over keepalives that detect a lost peer within half a minute."""
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    return {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "application_name": "trunkline-xds-server",
        **conninfo_to_dict(conninfo),
    }


def open_reader(url: DatabaseUrl) -> DatabaseReader:
    """Opens a reader for the kind of database that the URL names."""
    return PostgresqlReader(url.conninfo) if url.path is None else SqliteReader(url.path)


class SqliteReader:
    """Reads over one connection; creates the file with mode 0600 if it does not exist."""

    def __init__(self, path: Path) -> None:
        try:
            _create(path)
            self._connection = connect_sqlite(path)
        except (OSError, sqlite3.Error) as error:
            raise DatabaseUnavailableError(f"{path}: cannot open the database: {error}") from error
        self._path = path
        self._same = SameFile(path)
        self._lock = threading.Lock()

    def require(self) -> None:
        """Raises DatabaseUnavailableError if the path no longer leads to the file that was opened."""
        self._same.require()

    @contextmanager
    def snapshot(self) -> Iterator[DatabaseSnapshot]:
        """Opens a read transaction. Raises DatabaseUnavailableError."""
        with self._lock:
            self._same.require()
            try:
                self._connection.execute("BEGIN")
                try:
                    yield DatabaseSnapshot(self._connection.cursor(), placeholder="?")
                finally:
                    self._connection.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                raise DatabaseUnavailableError(f"{self._path}: cannot read the database: {error}") from error

    def close(self) -> None:
        """Closes the connection once no snapshot is open."""
        with self._lock:
            self._connection.close()


def _create(path: Path) -> None:
    """Creates an empty file with mode 0600 if it does not exist.

    An existing file is left alone. POSIX locks belong to the process: closing the file would drop the locks of
    this process's connections to it. Another process that then closes the database would take itself for the last
    one and delete the log that is still in use, which destroys the database.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


class PostgresqlReader:
    """Reads over one connection, which is made again after it was lost."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None

    def require(self) -> None:
        """Does nothing: a server manages its own files."""

    @contextmanager
    def snapshot(self) -> Iterator[DatabaseSnapshot]:
        """Opens a read transaction, on a new connection after a failure. Raises DatabaseUnavailableError."""
        import psycopg  # noqa: PLC0415

        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                    yield DatabaseSnapshot(cursor, placeholder="%s")
            except psycopg.OperationalError as error:
                self._drop()
                raise DatabaseUnavailableError(
                    f"PostgreSQL could not complete the read: {_first_line(error)}"
                ) from error

    def close(self) -> None:
        """Closes the connection once no snapshot is open."""
        with self._lock:
            self._drop()

    def _connected(self) -> psycopg.Connection:
        import psycopg  # noqa: PLC0415

        if self._connection is not None:
            try:
                # Detects a restarted server here, where trying again is still possible.
                self._connection.execute("SELECT 1")
                self._connection.rollback()
            except psycopg.OperationalError:
                self._drop()
        if self._connection is None:
            self._connection = connect_postgresql(self._conninfo)
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def snapshot_of(connection: Any) -> DatabaseSnapshot:
    """Returns the view of a transaction that is open on a DB-API connection, its own writes included."""
    placeholder = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    return DatabaseSnapshot(connection.cursor(), placeholder=placeholder)
