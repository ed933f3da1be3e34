"""Changes users' memberships, and which API keys are their own."""

from __future__ import annotations

from sqlmodel import col, select

from xds_server.accounts.model import Role, User
from xds_server.store.account_tables import KeyOwnerRow, MemberRow
from xds_server.store.records import Action, ObjectType
from xds_server.store.tables import KeyRow, OrganisationRow
from xds_server.store.writing import keys, unused
from xds_server.store.writing.transaction import Transaction


def put(transaction: Transaction, organisation: str, user: User, role: Role) -> None:
    """Makes `user` a member, or changes their role. Raises NotFoundError for the organisation."""
    organisation_id = transaction.organisation_id(organisation)
    before = role_in(transaction, organisation_id, user)
    if before is role:
        return
    transaction.session.merge(MemberRow(organisation_id=organisation_id, user_id=user.id, role=role.value))
    transaction.session.flush()
    action = Action.CREATE if before is None else Action.UPDATE
    view = None if before is None else {"role": before.value}
    transaction.record(
        action,
        ObjectType.MEMBER,
        f"{organisation}/{user.email}",
        view,
        {"role": role.value},
        organisation_id=organisation_id,
    )
    unused.end_unsupported(transaction, user.id)


def remove(transaction: Transaction, organisation: str, user: User) -> int:
    """Removes a member. Returns how many own keys were revoked. Nothing happens if `user` is not a member."""
    organisation_id = transaction.organisation_id(organisation)
    row = transaction.session.get(MemberRow, (organisation_id, user.id))
    if row is None:
        return 0
    view = {"role": row.role}
    transaction.session.delete(row)
    transaction.session.flush()
    transaction.record(
        Action.DELETE,
        ObjectType.MEMBER,
        f"{organisation}/{user.email}",
        view,
        None,
        organisation_id=organisation_id,
    )
    unused.end_unsupported(transaction, user.id)
    return revoke_own_keys(transaction, user.id, organisation_id)


def remove_all(transaction: Transaction, user: User) -> int:
    """Ends every membership. Returns how many own keys were revoked."""
    of_user = select(OrganisationRow.name).where(
        OrganisationRow.id == MemberRow.organisation_id, MemberRow.user_id == user.id
    )
    names = transaction.session.exec(of_user.order_by(col(OrganisationRow.name))).all()
    return sum(remove(transaction, name, user) for name in names) + revoke_own_keys(transaction, user.id)


def role_in(transaction: Transaction, organisation_id: str, user: User) -> Role | None:
    """Returns the user's role in the organisation; None if the user is not a member."""
    row = transaction.session.get(MemberRow, (organisation_id, user.id))
    return Role(row.role) if row is not None else None


def own(transaction: Transaction, key_id: str, user_id: str) -> None:
    """Makes a key the user's own."""
    transaction.session.flush()  # the key first: the database checks that it exists
    transaction.session.add(KeyOwnerRow(key_id=key_id, user_id=user_id))
    transaction.session.flush()


def revoke_own_keys(transaction: Transaction, user_id: str, organisation_id: str = "") -> int:
    """Revokes a user's own keys in one organisation, or in all. Returns how many."""
    wanted = select(KeyRow.id).where(
        KeyRow.id == KeyOwnerRow.key_id, KeyOwnerRow.user_id == user_id, KeyRow.revoked_at == 0
    )
    if organisation_id:
        wanted = wanted.where(KeyRow.organisation_id == organisation_id)
    found = transaction.session.exec(wanted.order_by(col(KeyRow.id))).all()
    for key_id in found:
        keys.revoke(transaction, key_id)
    return len(found)
