"""Single-use links. Only hashes of their values are stored, and a used link is deleted."""

from __future__ import annotations

from sqlmodel import col, delete, select

from xds_server.accounts import tokens
from xds_server.accounts.errors import LinkError
from xds_server.accounts.links import Link, Purpose
from xds_server.store import accounts, api_keys, views
from xds_server.store.account_tables import AccountLinkRow
from xds_server.store.records import Action, ObjectType
from xds_server.store.writing import makers
from xds_server.store.writing.transaction import Transaction


def create(transaction: Transaction, link: Link, ttl_seconds: int) -> tuple[Link, str]:
    """Creates a link. Returns it with its id, and its value, which is stored nowhere. Raises ForbiddenError if its
    maker may not make it any more.
    """
    makers.require(makers.may_make_link(transaction, makers.caller(transaction, link.created_by), link))
    value = tokens.new(tokens.TokenKind.LINK)
    now = transaction.now
    made = link.made(api_keys.new_id(), now, now + ttl_seconds)
    transaction.session.exec(delete(AccountLinkRow).where(col(AccountLinkRow.expires_at) <= now))
    transaction.session.add(AccountLinkRow(**accounts.LINK.encode(made), hash=tokens.hash_of(value)))
    transaction.session.flush()
    return made, value


def record(transaction: Transaction, action: Action, link: Link) -> None:
    """Records the creation or the end of an invitation."""
    view = views.invitation(link, makers.organisation(transaction, link.organisation_id))
    transaction.record(
        action,
        ObjectType.INVITATION,
        f"{link.email}/{link.id}",
        view if action is Action.REVOKE else None,
        view if action is Action.CREATE else None,
        organisation_id=link.organisation_id,
    )


def find(transaction: Transaction, purpose: Purpose, value: str) -> Link:
    """Returns the link of a value. Raises LinkError."""
    row = transaction.session.exec(
        select(AccountLinkRow).where(AccountLinkRow.hash == tokens.hash_of(value))
    ).first()
    if row is None or row.purpose != purpose or row.expires_at <= transaction.now:
        raise LinkError(f"this link was used, has expired or is another gateway's: {purpose.another}")
    return accounts.LINK.decode_row(row)


def of_id(transaction: Transaction, purpose: Purpose, link_id: str) -> Link | None:
    """Returns the link with an id, even if it has expired; None if there is none of this purpose."""
    row = transaction.session.get(AccountLinkRow, link_id)
    return accounts.LINK.decode_row(row) if row is not None and row.purpose == purpose else None


def use(transaction: Transaction, purpose: Purpose, value: str) -> Link:
    """Returns the link of a value and uses it up: of two simultaneous uses, the second fails.

    Raises LinkError.
    """
    link = find(transaction, purpose, value)
    remove(transaction, link.id)
    return link


def remove(transaction: Transaction, link_id: str) -> bool:
    """Removes a link. Returns whether it existed."""
    row = transaction.session.get(AccountLinkRow, link_id)
    if row is None:
        return False
    transaction.session.delete(row)
    transaction.session.flush()
    return True


def remove_all(transaction: Transaction, purpose: Purpose, *, user_id: str = "") -> None:
    """Removes all links of one purpose, or those of one user."""
    of_purpose = delete(AccountLinkRow).where(col(AccountLinkRow.purpose) == purpose.value)
    transaction.session.exec(of_purpose.where(col(AccountLinkRow.user_id) == user_id) if user_id else of_purpose)
