"""Creates, replaces and removes organisations."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import col, select

from xds_server.model import Limit, Organisation
from xds_server.store import codec, views
from xds_server.store.api_keys import new_id
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import KeyRow, OrganisationRow, RouteRow
from xds_server.store.writing import join_tokens, keys, nodes, routes
from xds_server.store.writing.management import removing, settled
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current, check_put


def put(
    transaction: Transaction, name: str, *, limits: tuple[Limit, ...], weight: int = 0, expected: int | None
) -> Organisation:
    """Stores an organisation and returns it. `expected` is as in versions.check_put; raises what that raises."""
    row = _find(transaction, name)
    check_put(ObjectType.ORGANISATION, name, current=row.version if row else None, expected=expected)
    before = codec.ORGANISATION.decode_row(row) if row else None
    wanted = Organisation(id=before.id if before else f"org_{new_id()}", name=name, limits=limits, weight=weight)
    wanted = settled(transaction, ObjectType.ORGANISATION, name, before, wanted)
    if before is not None and replace(wanted, version=before.version) == before:
        return before
    stored = replace(wanted, version=transaction.revision)
    transaction.session.merge(OrganisationRow(**codec.ORGANISATION.encode(stored)))
    # Rows that refer to it by id may be added next; without ORM relationships nothing else orders the inserts.
    transaction.session.flush()
    transaction.organisation_ids[name] = stored.id
    transaction.record(
        Action.CREATE if before is None else Action.UPDATE,
        ObjectType.ORGANISATION,
        name,
        views.organisation(before) if before else None,
        views.organisation(stored),
        organisation_id=stored.id,
    )
    return stored


def delete(transaction: Transaction, name: str, *, expected: int = 0) -> None:
    """Removes an organisation with its nodes, join tokens, keys and own routes, each with an event.

    Raises NotFoundError, StaleWriteError, and ManagedError for what a file manages of all that.
    """
    row = _find(transaction, name)
    check_current(ObjectType.ORGANISATION, name, current=row.version if row else None, expected=expected)
    if row is None:
        return
    removing(transaction, ObjectType.ORGANISATION, name, row.managed_by)
    session = transaction.session
    for model in session.exec(select(RouteRow.model).where(RouteRow.organisation_id == row.id)).all():
        routes.delete(transaction, model, organisation=name)
    join_tokens.withdraw(transaction, name)
    nodes.delete_all(transaction, name)
    owned = select(KeyRow).where(KeyRow.organisation_id == row.id).order_by(col(KeyRow.name))
    for key in session.exec(owned).all():
        keys.delete(transaction, key, organisation=name)
    session.flush()
    session.delete(row)
    session.flush()
    del transaction.organisation_ids[name]
    transaction.record(
        Action.DELETE,
        ObjectType.ORGANISATION,
        name,
        views.organisation(codec.ORGANISATION.decode_row(row)),
        None,
        organisation_id=row.id,
    )


def _find(transaction: Transaction, name: str) -> OrganisationRow | None:
    return transaction.session.exec(select(OrganisationRow).where(OrganisationRow.name == name)).first()
