"""Creates and changes users, and their memberships."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import col, select

from xds_server.accounts.errors import LinkError
from xds_server.accounts.links import Link, Purpose
from xds_server.accounts.model import Role, User
from xds_server.errors import AlreadyExistsError, InUseError, NotFoundError
from xds_server.quoting import quoted
from xds_server.store import accounts, api_keys, views
from xds_server.store.account_tables import UserRow
from xds_server.store.records import Action, ObjectType
from xds_server.store.writing import account_links, members, personal_tokens, sessions, unused
from xds_server.store.writing.transaction import Transaction


def create(transaction: Transaction, user: User) -> User:
    """Creates a user and returns it with an id. Raises AlreadyExistsError for the e-mail address."""
    if find(transaction, user.email) is not None:
        raise AlreadyExistsError(f"a user with the address {user.email} exists")
    made = replace(user, id=f"usr_{api_keys.new_id()}", created_at=transaction.now, version=transaction.revision)
    transaction.session.add(UserRow(**accounts.USER.encode(made)))
    transaction.session.flush()
    transaction.record(Action.CREATE, ObjectType.USER, made.email, None, views.user(made), organisation_id="")
    return made


def change(transaction: Transaction, user: User) -> User:
    """Stores what differs from the user with the same id. Raises NotFoundError."""
    before = get(transaction, user.id)
    if replace(user, version=before.version) == before:
        return before
    after = replace(user, version=transaction.revision)
    transaction.session.merge(UserRow(**accounts.USER.encode(after)))
    transaction.session.flush()
    changed = ["password"] if after.password_hash != before.password_hash else []
    view, viewed = views.user(before), views.user(after)
    transaction.record(
        Action.UPDATE, ObjectType.USER, after.email, view, viewed, organisation_id="", secrets_changed=changed
    )
    if (before.admin and not after.admin) or after.disabled:
        unused.end_unsupported(transaction, user.id)
    return after


def join(transaction: Transaction, user: User, link: Link) -> User:
    """Gives `user` what an invitation promises. Never takes anything away: a higher role stays."""
    if link.organisation_id:
        names = {id_: name for name, id_ in transaction.organisation_ids.items()}
        if link.organisation_id not in names:
            raise LinkError("the organisation of this invitation no longer exists")
        wanted, known = Role(link.role), members.role_in(transaction, link.organisation_id, user)
        roles = list(Role)
        if known is None or roles.index(wanted) > roles.index(known):
            members.put(transaction, names[link.organisation_id], user, wanted)
    return change(transaction, replace(user, admin=user.admin or link.admin))


def remove(transaction: Transaction, user: User) -> int:
    """Removes a user with everything of theirs. Returns how many own keys were revoked. Raises InUseError for the
    only admin.
    """
    check_another_admin(transaction, user)
    revoked = end_access(transaction, user)
    revoked += members.remove_all(transaction, user)
    row = transaction.session.get_one(UserRow, user.id)
    transaction.session.delete(row)
    transaction.session.flush()
    transaction.record(Action.DELETE, ObjectType.USER, user.email, views.user(user), None, organisation_id="")
    return revoked


def end_access(transaction: Transaction, user: User) -> int:
    """Ends every way to act as the user, and revokes own keys. Returns how many keys."""
    end_sign_ins(transaction, user)
    return members.revoke_own_keys(transaction, user.id)


def end_sign_ins(transaction: Transaction, user: User) -> None:
    """Ends sessions, tokens and links, what could still become one, and what the user has made for others."""
    sessions.end_all(transaction, user.id)
    personal_tokens.revoke_all(transaction, user)
    personal_tokens.forget_devices(transaction, user)
    account_links.remove_all(transaction, Purpose.RESET, user_id=user.id)
    unused.end_all(transaction, user.id)


def check_another_admin(transaction: Transaction, user: User) -> None:
    """Raises InUseError if `user` is the only admin that can sign in."""
    others = select(UserRow.id).where(
        col(UserRow.admin).is_(True), col(UserRow.disabled).is_(False), UserRow.id != user.id
    )
    if user.admin and not user.disabled and transaction.session.exec(others).first() is None:
        raise InUseError(f"{user.email} is the only admin: make another one first")


def set_password(transaction: Transaction, user: User, password_hash: str) -> User:
    """Sets the password. Ends no session: that is up to the caller."""
    return change(transaction, replace(user, password_hash=password_hash))


def get(transaction: Transaction, user_id: str) -> User:
    """Returns a user. Raises NotFoundError."""
    row = transaction.session.get(UserRow, user_id)
    if row is None:
        raise NotFoundError(f"no user {user_id[:80]}")
    return accounts.USER.decode_row(row)


def of_reference(transaction: Transaction, reference: str) -> User:
    """Returns a user by id or e-mail address. Raises NotFoundError."""
    row = transaction.session.get(UserRow, reference)
    found = accounts.USER.decode_row(row) if row is not None else find(transaction, reference.strip().lower())
    if found is None:
        raise NotFoundError(f"no user {quoted(reference)}: `trunkline users list` shows all")
    return found


def find(transaction: Transaction, email: str) -> User | None:
    """Returns the user with an address in lower case; None if there is none."""
    row = transaction.session.exec(select(UserRow).where(UserRow.email == email)).first()
    return accounts.USER.decode_row(row) if row is not None else None
