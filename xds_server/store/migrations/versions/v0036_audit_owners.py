"""Each audit event says which organisation its object belonged to, including events stored before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from xds_server.store.migrations.versions.v0002_ledger import ALLOW_CHANGES, REFUSE_CHANGES

revision = "0036"
down_revision = "0035"

_PAGE = 1_000
#: Kinds whose objects are named after their organisation, and kinds whose fields name it.
_NAMED = frozenset({"key", "node", "member", "join-token"})
_SAID = frozenset({"invitation", "request"})


def upgrade() -> None:
    """Adds the owner. Events of organisations that were deleted belong to the installation."""
    op.add_column("audit_event", sa.Column("organisation_id", sa.String(), nullable=False, server_default=""))
    connection = op.get_bind()
    dialect = connection.dialect.name
    for statement in ALLOW_CHANGES[dialect]:
        op.execute(sa.text(statement))
    ids = _organisations(connection)
    routes = _routes(connection)
    for page in _pages(connection):
        found = [{"id": event["id"], "owner": owner} for event in page if (owner := _owner(event, ids, routes))]
        if found:
            update = sa.text("UPDATE audit_event SET organisation_id = :owner WHERE id = :id")
            connection.execute(update, found)
    for statement in REFUSE_CHANGES[dialect]:
        op.execute(sa.text(statement))
    op.create_index("audit_event_organisation", "audit_event", ["organisation_id", "id"])


def _owner(
    event: Mapping[str, Any], ids: Mapping[str, tuple[str, int]], routes: Mapping[str, tuple[str, int]]
) -> str:
    """Returns the id of the organisation; empty for the installation, and if that is not certain."""
    kind, name = event["object_type"], event["object_name"]
    if kind == "route":
        owner, since_us = routes.get(name, ("", 0))
        return owner if event["at_us"] >= since_us else ""
    organisation = ""
    if kind == "organisation":
        organisation = name
    elif kind in _NAMED:
        organisation = name.partition("/")[0]
    elif kind in _SAID:
        organisation = str(json.loads(event["after"] or event["before"] or "{}").get("organisation", ""))
    # An organisation that had the name before was another one.
    owner, after = ids.get(organisation, ("", 0))
    return owner if event["revision"] > after else ""


def _organisations(connection: sa.Connection) -> dict[str, tuple[str, int]]:
    """Returns, by the names of organisations, their ids and the revisions that deleted the last ones so named."""
    deleted = (
        "SELECT MAX(e.revision) FROM audit_event e "
        "WHERE e.object_type = 'organisation' AND e.object_name = o.name AND e.action = 'delete'"
    )
    rows = connection.execute(sa.text(f"SELECT o.name, o.id, ({deleted}) FROM organisation o"))  # noqa: S608
    return {name: (id_, revision or 0) for name, id_, revision in rows}


def _routes(connection: sa.Connection) -> dict[str, tuple[str, int]]:
    """Returns, by the names of organisations' routes in events, their owners and since when (Unix microseconds)
    they are the only ones that can be meant: a route of the whole installation may have had such a name, too.
    """
    owned = connection.execute(
        sa.text(
            "SELECT o.name, r.model, o.id, r.created_at "
            "FROM route r JOIN organisation o ON o.id = r.organisation_id"
        )
    ).all()
    of_all = set(connection.execute(sa.text("SELECT model FROM route WHERE organisation_id IS NULL")).scalars())
    deleted = sa.text(
        "SELECT object_name, MAX(at_us) FROM audit_event "
        "WHERE object_type = 'route' AND action = 'delete' GROUP BY object_name"
    )
    removed = {row[0]: row[1] for row in connection.execute(deleted)}
    return {
        f"{organisation}/{model}": (
            id_,
            max(created_at * 1_000_000, removed.get(f"{organisation}/{model}", -1) + 1),
        )
        for organisation, model, id_, created_at in owned
        if f"{organisation}/{model}" not in of_all
    }


def _pages(connection: sa.Connection) -> Iterator[list[Mapping[str, Any]]]:
    select = sa.text(
        "SELECT id, at_us, object_type, object_name, before, after, revision FROM audit_event "  # noqa: S608
        f"WHERE id > :last ORDER BY id LIMIT {_PAGE}"
    )
    last = 0
    while page := connection.execute(select, {"last": last}).mappings().all():
        last = page[-1]["id"]
        yield [dict(event) for event in page]
