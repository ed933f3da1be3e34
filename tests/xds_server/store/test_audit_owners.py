"""The migration gives stored audit events their owners, but only those that are certain."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from tests.xds_server.ledger.test_migration import at_version
from tests.xds_server.store.databases import OpenStore, empty_database as database
from xds_server.store import AuditQuery, DatabaseUrl

__all__ = ["database"]

#: Of each event: kind, name, action, what it says afterwards, its second, and its owner after the migration.
#: `acme` was deleted and made again at second 20; its route `gpt` is from second 30.
EVENTS = [
    ("organisation", "acme", "create", "", 1, ""),
    ("key", "acme/old", "create", "", 2, ""),
    ("organisation", "acme", "delete", "", 10, ""),
    ("organisation", "acme", "create", "", 20, "org_a"),
    ("key", "acme/ci", "create", "", 21, "org_a"),
    ("key", "acme-2/ci", "create", "", 22, "org_b"),
    ("node", "acme/rig", "create", "", 23, "org_a"),
    ("member", "acme/a@b.example", "create", "", 24, "org_a"),
    ("join-token", "acme/jt", "create", "", 25, "org_a"),
    ("invitation", "a@b.example/inv_1", "create", '{"organisation":"acme"}', 26, "org_a"),
    ("invitation", "a@b.example/inv_2", "create", '{"organisation":""}', 27, ""),
    ("request", "r", "cancel", '{"organisation":"acme-2"}', 28, "org_b"),
    ("provider", "acme/p", "create", "", 29, ""),
    ("route", "acme/gpt", "create", "", 15, ""),
    ("route", "acme/gpt", "update", "", 30, "org_a"),
    ("route", "acme/both", "create", "", 31, ""),
    ("route", "acme/reused", "create", "", 32, ""),
    ("route", "acme/reused", "delete", "", 33, ""),
    ("route", "acme/reused", "create", "", 34, "org_a"),
    ("user", "acme/x@y.example", "create", "", 35, ""),
]
ROUTES = [("gpt", "org_a", 30), ("both", "org_a", 31), ("acme/both", None, 5), ("reused", "org_a", 32)]


def test_stored_events_get_their_owners(database: DatabaseUrl, open_store: OpenStore) -> None:
    with at_version(database, "0035") as connection:
        for id_, name in (("org_a", "acme"), ("org_b", "acme-2")):
            values = {"id": id_, "name": name, "limits": "[]", "version": 1}
            connection.execute(text(_insert("organisation", values)), values)
        for number, (model, owner, at) in enumerate(ROUTES):
            values = {
                "id": f"rt_{number}", "model": model, "organisation_id": owner, "strategy": "weighted",
                "first_byte_ms": 0, "idle_ms": 0, "connect_ms": 0, "cache_ttl_seconds": 0, "privacy": "any",
                "created_at": at, "version": 1,
            }  # fmt: skip
            connection.execute(text(_insert("route", values)), values)
        for number, (kind, name, action, after, at, _) in enumerate(EVENTS, 1):
            values = {
                "id": number, "at_us": at * 1_000_000, "actor": "admin", "action": action, "object_type": kind,
                "object_name": name, "before": "", "after": after, "revision": number, "hash": b"",
            }  # fmt: skip
            connection.execute(text(_insert("audit_event", values)), values)
    found = open_store().audit_events(AuditQuery(limit=1_000))
    owners = {each.id: each.organisation_id for each in found}
    assert [(*event[:5], owners[number]) for number, event in enumerate(EVENTS, 1)] == EVENTS


def _insert(table: str, values: dict[str, Any]) -> str:
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})"
