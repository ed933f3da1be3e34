"""The desired state in SQL: synchronous, thread-safe, and, with PostgreSQL, shared with other replicas."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from xds_server.accounts.links import LIFETIMES, Link, Purpose
from xds_server.accounts.settings import IdentityProvider
from xds_server.model import Alerting, DesiredState
from xds_server.store import audit_chain, codec, orm, reading, schema, writing
from xds_server.store.connection import DatabaseReader, DatabaseSnapshot, open_reader
from xds_server.store.crypto import Cipher
from xds_server.store.migration_report import MigrationReport, Report
from xds_server.store.records import Actor, AuditEvent, AuditQuery, KeyRecord
from xds_server.store.settings import KeySettings
from xds_server.store.url import DatabaseUrl

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from xds_server.store.writing.transaction import ObjectChange, Transaction

T = TypeVar("T")

#: The organisation that the first start creates.
DEFAULT_ORGANISATION = "default"

_KEY_SETTING = "secret_key_fingerprint"
_BOOTSTRAP_SETTING = "bootstrapped"


@dataclass(frozen=True, slots=True)
class Committed(Generic[T]):
    """The outcome of a write: its result, the revision of the state after it, and the events (none: nothing
    changed).

    After a dry run, `revision` is that of the unchanged state.
    """

    value: T
    revision: int
    events: tuple[ObjectChange, ...]


class Store:
    """The store. Reads run in parallel to writes and to other connections' reads; writes run one after the
    other.
    """

    def __init__(self, url: DatabaseUrl, reader: DatabaseReader, cipher: Cipher) -> None:
        """Use `open`."""
        self.url = url
        self._reader = reader
        self._cipher = cipher
        self._engine: Engine | None = None
        self._write_lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._loaded: reading.LoadedState | None = None

    @classmethod
    def open(
        cls,
        url: DatabaseUrl,
        *,
        key_file: Path | None = None,
        key: str | None = None,
        report: Report | None = None,
    ) -> Store:
        """Opens the database, creates or migrates its schema, and checks the secret key.

        `report` gets the progress of migrations, the log without one.

        Give either `key`, 32 bytes in base64, or `key_file`, which is created (mode 0600) for a database without a
        key. Raises DatabaseUnavailableError, SchemaError, SecretKeyError.
        """
        if (key_file is None) == (key is None):
            raise ValueError("give either key_file or key")
        reader = open_reader(url)
        try:
            schema.bring_to_head(reader, url, report if report is not None else MigrationReport())
            with reader.snapshot() as snapshot:
                rows = snapshot.rows("SELECT value FROM setting WHERE name = ?", _KEY_SETTING)
            if key is not None:
                cipher = Cipher.of_text(key, "the secret key given")
            elif key_file is not None:
                cipher = Cipher.of_file(key_file, create=not rows)
            store = cls(url, reader, cipher)
            fingerprint = str(rows[0][0]) if rows else store._adopt_key()
            cipher.require(fingerprint)
        except BaseException:
            reader.close()
            raise
        return store

    def close(self) -> None:
        """Closes the connections, after running writes and reads."""
        with self._write_lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None
        self._reader.close()

    def load(self) -> DesiredState:
        """Returns the current state; the same object as long as nothing changes. Unchanged mappings are shared."""
        with self._load_lock:
            with self._reader.snapshot() as snapshot:
                self._loaded = reading.load(snapshot, self._cipher, self._loaded)
            return self._loaded.state

    def read(self, work: Callable[[DatabaseSnapshot], T]) -> T:
        """Runs `work` on one consistent view of the database."""
        with self._reader.snapshot() as snapshot:
            return work(snapshot)

    def client_secret(self, provider: IdentityProvider) -> str:
        """Opens a stored client secret; empty if there is none. Raises SecretKeyError."""
        return codec.open_client_secret(self._cipher, provider.name, provider.client_secret)

    def require(self) -> None:
        """Raises DatabaseReplacedError if the database is no longer where it was opened."""
        self._reader.require()

    @property
    def write_lock(self) -> threading.Lock:
        """Returns the lock that every writer to this database in this process holds."""
        return self._write_lock

    def verify_audit(self) -> audit_chain.ChainVerdict:
        """Verifies the audit log's whole hash chain."""
        return audit_chain.verify(self._reader.snapshot)

    def keys(self, *, organisation: str = "", include_revoked: bool = False) -> list[KeyRecord]:
        """Returns keys by organisation and name; `organisation` is a name, empty for all."""
        with self._reader.snapshot() as snapshot:
            return reading.key_records(snapshot, organisation=organisation, include_revoked=include_revoked)

    def audit_events(self, query: AuditQuery) -> list[AuditEvent]:
        """Returns events, newest first."""
        with self._reader.snapshot() as snapshot:
            return reading.audit_events(snapshot, query)

    def write(
        self, actor: str | Actor, work: Callable[[Transaction], T], *, dry_run: bool = False
    ) -> Committed[T]:
        """Runs `work` in one transaction: all of it is stored, with its audit events, or nothing.

        `work` holds the write lock, so it must not wait for anything. Raises what `work` raises, and
        DatabaseUnavailableError.
        """
        orm.load()
        from sqlmodel import Session  # noqa: PLC0415

        from xds_server.store.engine import unavailable  # noqa: PLC0415
        from xds_server.store.writing.transaction import Transaction  # noqa: PLC0415

        with self._write_lock, unavailable(), Session(self._writer(), expire_on_commit=False) as session:
            self._reader.require()
            who = actor if isinstance(actor, Actor) else Actor(actor)
            transaction = Transaction(session, self._cipher, who)
            value = work(transaction)
            revision = transaction.finish()
            if dry_run:
                session.rollback()
                revision = transaction.base_revision
            else:
                session.commit()
            return Committed(value, revision, tuple(transaction.events))

    def secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Returns a secret of the database's own, sealed like credentials; `make` creates it if there is none yet.

        Replicas that ask at the same time get the same secret. Raises DatabaseUnavailableError, SecretKeyError.
        """
        associated = f"setting {name}".encode()
        with self._reader.snapshot() as snapshot:
            rows = snapshot.rows("SELECT value FROM setting WHERE name = ?", name)
        if rows:
            return self._cipher.open(base64.b64decode(rows[0][0]), associated)
        orm.load()
        from xds_server.store.tables import SettingRow  # noqa: PLC0415

        def work(transaction: Transaction) -> str:
            row = transaction.session.get(SettingRow, name)
            if row is None:
                sealed = base64.b64encode(self._cipher.seal(make(), associated)).decode()
                row = SettingRow(name=name, value=sealed)
                transaction.session.add(row)
            return row.value

        return self._cipher.open(base64.b64decode(self.write("secret", work).value), associated)

    def webhook_secret(self, alerts: Alerting) -> bytes:
        """Returns the secret that signs the alerts. Raises SecretKeyError."""
        return codec.open_webhook(self._cipher, alerts.secret)

    def warm(self) -> None:
        """Imports and connects what the first write needs. Run it in a thread after the start, when time is
        free.
        """

        def work(transaction: Transaction) -> None:
            for name in writing.MODULES:
                getattr(writing, name)
            transaction.provider_names()

        self.write("warm", work, dry_run=True)

    def bootstrap(
        self,
        deliver: Callable[[str], None] = lambda _: None,
        deliver_setup: Callable[[str], None] | None = None,
    ) -> str | None:
        """Creates the organisation `default` with one API key on the first start, and returns the key's value.
        Returns None if the database was bootstrapped before.

        `deliver` receives the value before it is stored, so that a crash between the two costs nothing: the next
        start creates another. `deliver_setup` receives the value of a set-up link in the same way.
        """
        with self._reader.snapshot() as snapshot:
            if snapshot.rows("SELECT 1 FROM setting WHERE name = ?", _BOOTSTRAP_SETTING):
                return None
        orm.load()
        from xds_server.store.tables import SettingRow  # noqa: PLC0415

        def work(transaction: Transaction) -> str | None:
            if transaction.session.get(SettingRow, _BOOTSTRAP_SETTING) is not None:
                return None
            transaction.session.add(SettingRow(name=_BOOTSTRAP_SETTING, value=str(transaction.now)))
            writing.organisations.put(transaction, DEFAULT_ORGANISATION, limits=(), expected=None)
            _, value = writing.keys.create(transaction, DEFAULT_ORGANISATION, "first", KeySettings())
            deliver(value)
            if deliver_setup is not None:
                ttl, _ = LIFETIMES[Purpose.SETUP]
                _, link = writing.account_links.create(transaction, Link(Purpose.SETUP, admin=True), ttl)
                deliver_setup(link)
            return value

        return self.write("bootstrap", work).value

    def _adopt_key(self) -> str:
        """Binds the database to this key unless another replica was faster. Returns the valid fingerprint."""
        orm.load()
        from xds_server.store.tables import SettingRow  # noqa: PLC0415

        def work(transaction: Transaction) -> str:
            row = transaction.session.get(SettingRow, _KEY_SETTING)
            if row is None:
                row = SettingRow(name=_KEY_SETTING, value=self._cipher.fingerprint())
                transaction.session.add(row)
            return row.value

        return self.write("bootstrap", work).value

    def _writer(self) -> Engine:
        if self._engine is None:
            orm.load()
            from xds_server.store.engine import make_engine  # noqa: PLC0415

            self._engine = make_engine(self.url)
        return self._engine
