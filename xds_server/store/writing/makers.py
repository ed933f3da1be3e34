"""What the maker of a link or of a node's invitation may do now, as opposed to when they called.

Others hold what a user has made, until it is used: it is worth no more than its maker's present role.
"""

from __future__ import annotations

from xds_server.accounts.caller import MACHINE, NOBODY, Caller
from xds_server.accounts.errors import ForbiddenError
from xds_server.accounts.links import Link, Purpose
from xds_server.accounts.model import Role
from xds_server.store import accounts
from xds_server.store.records import JoinTokenRecord
from xds_server.store.writing.transaction import Transaction


def caller(transaction: Transaction, user_id: str) -> Caller:
    """Returns the user as a caller with their present memberships: NOBODY for a user who was removed or disabled,
    MACHINE for an empty id.
    """
    if not user_id:
        return MACHINE
    account = accounts.account(transaction.snapshot(), user_id)
    if account is None or account.user.disabled:
        return NOBODY
    return Caller(user=account.user, memberships=account.memberships, own_keys=account.own_keys)


def may_make_link(transaction: Transaction, maker: Caller, link: Link) -> bool:
    """Returns whether the rules of InviteUser, ResetUser and CreateSetupLink allow the link to its maker."""
    if link.purpose is not Purpose.INVITE or link.admin or not link.organisation_id:
        return maker.is_admin
    return maker.role_in(organisation(transaction, link.organisation_id)) is Role.OWNER


def may_invite_node(transaction: Transaction, maker: Caller, token: JoinTokenRecord) -> bool:
    """Returns whether the rules of InviteNode allow the token to its maker."""
    return maker.changes(organisation(transaction, token.organisation_id), token.owner_key_id)


def organisation(transaction: Transaction, organisation_id: str) -> str:
    """Returns the organisation's name; empty if it does not exist any more."""
    names = (name for name, id_ in transaction.organisation_ids.items() if id_ == organisation_id)
    return next(names, "")


def require(allowed: bool) -> None:
    """Checks again inside the transaction that creates something: the maker's role may have ended meanwhile.

    Raises ForbiddenError.
    """
    if not allowed:
        raise ForbiddenError("your role does not allow this any more")
