"""The audit log's hash chain: written with every event on every replica, and the changes that it reveals."""

from __future__ import annotations

import hashlib
import struct
import threading
from functools import partial
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from tests.xds_server.store.databases import OpenStore, empty_database as database
from xds_server.model import Provider
from xds_server.store import AuditQuery, DatabaseUrl, Store, schema, writing
from xds_server.store.audit_chain import COLUMNS, GENESIS, ChainEntry, link
from xds_server.store.engine import make_engine

__all__ = ["database"]

REST = COLUMNS.removeprefix("id, ")
ENTRY = ChainEntry(1, 1_700_000_000_000_000, 7, "admin", "create", "route", "gpt", "", '{"é":1}')


def make_events(store: Store, count: int, prefix: str = "org") -> None:
    for number in range(count):
        put = partial(writing.organisations.put, name=f"{prefix}-{number}", limits=(), expected=0)
        store.write("admin", put)


def tamper(database: DatabaseUrl, statement: str) -> None:
    """Changes the database like somebody with full access to it."""
    drop = ["DROP TRIGGER audit_event_append_only ON audit_event"]
    if database.is_sqlite:
        drop = ["DROP TRIGGER audit_event_no_update", "DROP TRIGGER audit_event_no_delete"]
    engine = make_engine(database)
    with engine.begin() as connection:
        for each in [*drop, statement]:
            connection.execute(text(each))
    engine.dispose()


def test_the_encoding_is_what_the_documentation_says() -> None:
    texts = ["admin", "create", "route", "gpt", "", '{"é":1}']
    encoded = b"trunkline audit 1" + bytes(32) + struct.pack(">qqq", 1, 1_700_000_000_000_000, 7)
    encoded += b"".join(struct.pack(">Q", len(each.encode())) + each.encode() for each in texts)
    assert link(GENESIS, ENTRY) == hashlib.sha256(encoded).digest()
    encoded = b"trunkline audit 2" + encoded.removeprefix(b"trunkline audit 1") + struct.pack(">Q", 5) + b"org_1"
    assert link(GENESIS, ENTRY._replace(organisation_id="org_1")) == hashlib.sha256(encoded).digest()


@pytest.mark.parametrize("field", ChainEntry._fields)
def test_every_field_counts(field: str) -> None:
    value = getattr(ENTRY, field)
    change: dict[str, Any] = {field: value + 1 if isinstance(value, int) else f"{value}x"}
    changed = ENTRY._replace(**change)
    assert link(GENESIS, changed) != link(GENESIS, ENTRY)
    assert link(b"\x01" * 32, ENTRY) != link(GENESIS, ENTRY)


def test_an_untouched_log_is_intact(store: Store) -> None:
    empty = store.verify_audit()
    assert (empty.events, empty.first_broken, empty.head) == (0, 0, b"")
    make_events(store, 3)
    first = store.verify_audit()
    assert (first.events, first.first_broken, len(first.head)) == (3, 0, 32)
    make_events(store, 1, "more")
    assert store.verify_audit().head != first.head


def test_a_dry_run_and_a_failed_write_leave_the_chain_alone(store: Store) -> None:
    make_events(store, 2)
    before = store.verify_audit()
    store.write("admin", lambda tx: writing.organisations.put(tx, "dry", limits=(), expected=0), dry_run=True)
    with pytest.raises(ZeroDivisionError):
        store.write("admin", lambda tx: (writing.organisations.put(tx, "x", limits=(), expected=0), 1 // 0))
    assert store.verify_audit() == before
    make_events(store, 1, "after")
    assert store.verify_audit().first_broken == 0


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE audit_event SET actor = 'nobody' WHERE id = 3", 3),
        ("UPDATE audit_event SET at_us = at_us - 1 WHERE id = 1", 1),
        ("UPDATE audit_event SET after = '' WHERE id = 5", 5),
        ("UPDATE audit_event SET hash = (SELECT hash FROM audit_event WHERE id = 4) WHERE id = 2", 2),
        ("DELETE FROM audit_event WHERE id = 2", 3),
        (
            f"INSERT INTO audit_event ({COLUMNS}, hash) SELECT 6, {REST}, hash FROM audit_event WHERE id = 5",
            6,
        ),
        ("UPDATE audit_event SET organisation_id = '' WHERE id = 3", 3),
        ("UPDATE audit_event SET organisation_id = 'org_other' WHERE id = 4", 4),
    ],
)
def test_tampering_is_named(store: Store, database: DatabaseUrl, statement: str, named: int) -> None:
    make_events(store, 5)
    tamper(database, statement)
    assert store.verify_audit().first_broken == named


def test_an_event_of_the_installation_is_not_given_to_an_organisation(store: Store, database: DatabaseUrl) -> None:
    make_events(store, 1)
    provider = Provider("p", "https://api.example.com/v1")
    store.write("admin", lambda tx: writing.providers.put(tx, provider, expected=0))
    assert store.verify_audit().first_broken == 0
    tamper(database, "UPDATE audit_event SET organisation_id = 'org_1' WHERE id = 2")
    assert store.verify_audit().first_broken == 2


def test_a_cut_off_tail_changes_the_head(store: Store, database: DatabaseUrl) -> None:
    make_events(store, 3)
    head = store.verify_audit().head
    tamper(database, "DELETE FROM audit_event WHERE id = 3")
    cut = store.verify_audit()
    assert (cut.events, cut.first_broken) == (2, 0)
    assert cut.head != head


def test_concurrent_writers_append_to_one_chain(open_store: OpenStore) -> None:
    stores = [open_store(), open_store(), open_store()]
    barrier = threading.Barrier(3)

    def write(number: int) -> None:
        barrier.wait(60)
        make_events(stores[number], 15, f"writer-{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    verdict = stores[0].verify_audit()
    assert (verdict.events, verdict.first_broken) == (45, 0)
    ids = [event.id for event in stores[0].audit_events(AuditQuery(limit=1_000))]
    assert ids == list(range(45, 0, -1))


def test_the_walk_goes_on_past_a_page(store: Store, database: DatabaseUrl) -> None:
    def many(tx: writing.transaction.Transaction) -> None:
        for number in range(1_200):
            writing.organisations.put(tx, f"org-{number}", limits=(), expected=0)

    store.write("admin", many)
    assert (store.verify_audit().events, store.verify_audit().first_broken) == (1_200, 0)
    tamper(database, "UPDATE audit_event SET object_name = 'other' WHERE id = 1100")
    assert (store.verify_audit().events, store.verify_audit().first_broken) == (1_200, 1_100)


def test_the_migration_chains_what_was_there(database: DatabaseUrl, open_store: OpenStore) -> None:
    migrate(database, "0001")
    engine = make_engine(database)
    insert = text(
        "INSERT INTO audit_event (id, at_us, actor, action, object_type, object_name, before, after, revision) "
        "VALUES (:id, 5, 'admin', 'create', 'organisation', 'acme', '', :after, 1)"
    )
    with engine.begin() as connection:
        # Ids with gaps, as PostgreSQL's sequences gave them.
        connection.execute(
            insert, [{"id": 3 * number, "after": f'{{"n":{number}}}'} for number in range(1, 1_102)]
        )
    engine.dispose()
    store = open_store()
    verdict = store.verify_audit()
    assert (verdict.events, verdict.first_broken) == (1_101, 0)
    make_events(store, 1)
    assert (store.verify_audit().events, store.verify_audit().first_broken) == (1_102, 0)
    assert store.audit_events(AuditQuery(limit=1))[0].id == 3_304
    tamper(database, "UPDATE audit_event SET actor = 'nobody' WHERE id = 300")
    assert store.verify_audit().first_broken == 300


def migrate(database: DatabaseUrl, revision: str) -> None:
    engine = make_engine(database)
    with engine.begin() as connection:
        _upgrade(connection, revision)
    engine.dispose()


def _upgrade(connection: Connection, revision: str) -> None:
    config = schema.alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
