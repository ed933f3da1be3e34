"""The audit log says who changed what, with the values before and after; the database contains no
secret anywhere.
"""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import psycopg
import pytest
from trunkline_proto.admin.v1 import admin_pb2 as pb

from tests.xds_server.admin.conftest import Admin
from tests.xds_server.admin.documents import CREDENTIAL, KEY_VALUE, SECRETS, document
from xds_server.store import DatabaseUrl
from xds_server.store.records import ObjectType


async def events(admin: Admin, **query: object) -> list[pb.AuditEvent]:
    request = pb.ListAuditEventsRequest(**query)  # type: ignore[arg-type]
    return list((await admin.stub.ListAuditEvents(request)).events)


async def test_every_change_has_its_event(admin: Admin) -> None:
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    changed = document()
    changed.providers[0].base_url = "https://other.example.com"
    del changed.organisations[0].keys[:]
    await admin.stub.acting_for("alice").Apply(pb.ApplyRequest(document=changed, prune=True))

    newest, second, *first = await events(admin)
    assert {(event.revision, event.actor, event.action) for event in first} == {(1, "admin", "create")}
    assert len(first) == 6
    by_type = {event.object_type: event for event in (newest, second)}
    update, revocation = by_type["provider"], by_type["key"]
    assert (update.action, update.actor, update.revision, update.object_name) == ("update", "alice", 2, "openai")
    before, after = json.loads(update.before), json.loads(update.after)
    assert before.pop("base_url") == "https://api.example.com/v1"
    assert after.pop("base_url") == "https://other.example.com"
    assert before == after == {
        "dialect": "openai", "credentials": ["***"], "ca_file": "", "stream_usage": True,
        "managed_by": "file:trunkline", "credentials_managed_by": "file:trunkline",
        "quota": [], "credential_quotas": [],
        "health_path": "", "health_every_seconds": 0, "health_statuses": [],
    }  # fmt: skip
    assert (revocation.action, revocation.object_name, revocation.after) == ("revoke", "acme/ci", "")
    assert json.loads(revocation.before)["value"] == "***"


async def test_events_are_paged_and_filtered(admin: Admin) -> None:
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    everything = await events(admin)
    assert [event.id for event in everything] == sorted((event.id for event in everything), reverse=True)
    page = await events(admin, page_size=2)
    assert page == everything[:2]
    assert await events(admin, page_size=2, before_id=page[-1].id) == everything[2:4]
    named = await events(admin, object_type="provider", object_name="azure")
    assert [(event.object_type, event.object_name) for event in named] == [("provider", "azure")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await events(admin, object_type="thing", page_size=2000)
    assert str(caught.value.details()).splitlines() == [
        "page_size: 2000 is out of range; accepted: 0 to 1,000 (0 = 100)",
        f'object_type: "thing" is not known; accepted: {", ".join(ObjectType)}',
    ]


async def test_no_secret_is_anywhere_in_the_database(admin: Admin, database: DatabaseUrl) -> None:
    await admin.stub.Apply(pb.ApplyRequest(document=document()))
    bootstrapped = admin.store.bootstrap()
    assert bootstrapped is not None
    organisation = pb.Key(organisation="default", name="ci")
    generated = (await admin.stub.CreateKey(pb.CreateKeyRequest(key=organisation))).value
    await admin.stub.Apply(
        pb.ApplyRequest(document=pb.Document(), prune=True, sections=["providers", "routes", "organisations"])
    )

    content = everything_in(database)
    assert b"https://api.example.com/v1" in content  # the search would find a plain value
    for secret in (CREDENTIAL, KEY_VALUE, bootstrapped, generated, generated.rsplit("-", 1)[1]):
        assert secret.encode() not in content
    trail = str(await events(admin, page_size=1000))
    assert not any(secret in trail for secret in (*SECRETS, bootstrapped, generated))


def everything_in(database: DatabaseUrl) -> bytes:
    """Returns the bytes of SQLite's files, WAL included, or every row of every PostgreSQL table as text."""
    if database.path is not None:
        return b"".join(path.read_bytes() for path in Path(database.path.parent).glob(database.path.name + "*"))
    with psycopg.connect(database.conninfo) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = [
            bytes(row[0])
            for (table,) in tables
            for row in connection.execute(f"SELECT convert_to(t::text, 'UTF8') FROM {table} t".encode())
        ]
        sealed = connection.execute("SELECT credentials FROM provider").fetchall()
    return b"\n".join([*rows, *(bytes(row[0]) for row in sealed)])
