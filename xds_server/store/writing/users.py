"""Making and changing users, and what they belong to."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import select

from xds_server.accounts.model import User
from xds_server.errors import AlreadyExistsError, NotFoundError
from xds_server.store import accounts, api_keys, views
from xds_server.store.account_tables import UserRow
from xds_server.store.records import Action, ObjectType
from xds_server.store.writing.transaction import Transaction


def create(transaction: Transaction, user: User) -> User:
    """Returns it with an id. Raises AlreadyExistsError for the e-mail address."""
    if find(transaction, user.email) is not None:
        raise AlreadyExistsError(f"a user with the address {user.email} exists")
    made = replace(user, id=f"usr_{api_keys.new_id()}", created_at=transaction.now, version=transaction.revision)
    transaction.session.add(UserRow(**accounts.USER.encode(made)))
    transaction.session.flush()
    transaction.record(Action.CREATE, ObjectType.USER, made.email, None, views.user(made))
    return made


def change(transaction: Transaction, user: User) -> User:
    """Stores what differs from the user that has its id. Raises NotFoundError."""
    before = get(transaction, user.id)
    if replace(user, version=before.version) == before:
        return before
    after = replace(user, version=transaction.revision)
    transaction.session.merge(UserRow(**accounts.USER.encode(after)))
    transaction.session.flush()
    changed = ["password"] if after.password_hash != before.password_hash else []
    view, viewed = views.user(before), views.user(after)
    transaction.record(Action.UPDATE, ObjectType.USER, after.email, view, viewed, secrets_changed=changed)
    return after


def set_password(transaction: Transaction, user: User, password_hash: str) -> User:
    """Ends no session: that is for who calls to decide."""
    return change(transaction, replace(user, password_hash=password_hash))


def get(transaction: Transaction, user_id: str) -> User:
    """Raises NotFoundError."""
    row = transaction.session.get(UserRow, user_id)
    if row is None:
        raise NotFoundError(f"no user {user_id[:80]}")
    return accounts.USER.decode_row(row)


def find(transaction: Transaction, email: str) -> User | None:
    row = transaction.session.exec(select(UserRow).where(UserRow.email == email)).first()
    return accounts.USER.decode_row(row) if row is not None else None
