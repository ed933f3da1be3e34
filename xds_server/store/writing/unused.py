"""Ends what users have made and nobody has used yet, once their role no longer allows them to make it."""

from __future__ import annotations

from sqlmodel import col, select

from xds_server.accounts.caller import NOBODY, Caller
from xds_server.accounts.links import Purpose
from xds_server.store import accounts, codec
from xds_server.store.account_tables import AccountLinkRow
from xds_server.store.records import Action
from xds_server.store.tables import JoinTokenRow
from xds_server.store.writing import account_links, join_tokens, makers
from xds_server.store.writing.transaction import Transaction


def end_unsupported(transaction: Transaction, user_id: str) -> None:
    """Ends the user's links and invitations of nodes that their present role does not allow."""
    _end(transaction, user_id, makers.caller(transaction, user_id))


def end_all(transaction: Transaction, user_id: str) -> None:
    """Ends all of the user's unused links and invitations of nodes."""
    _end(transaction, user_id, NOBODY)


def _end(transaction: Transaction, user_id: str, maker: Caller) -> None:
    made = select(AccountLinkRow).where(AccountLinkRow.created_by == user_id)
    for link_row in transaction.session.exec(made.order_by(col(AccountLinkRow.id))).all():
        link = accounts.LINK.decode_row(link_row)
        if makers.may_make_link(transaction, maker, link):
            continue
        account_links.remove(transaction, link.id)
        if link.purpose is Purpose.INVITE and link.expires_at > transaction.now:
            account_links.record(transaction, Action.REVOKE, link)
    invited = select(JoinTokenRow).where(JoinTokenRow.created_by == user_id, JoinTokenRow.used_at == 0)
    for token_row in transaction.session.exec(invited.order_by(col(JoinTokenRow.id))).all():
        if not makers.may_invite_node(transaction, maker, codec.JOIN_TOKEN.decode_row(token_row)):
            join_tokens.remove(transaction, token_row)
    transaction.session.flush()
