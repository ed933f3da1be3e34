"""Invitations of nodes: single-use, expiring tokens that each admit one node."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from sqlmodel import col, delete as delete_rows, or_, select

from xds_server.errors import AlreadyExistsError, JoinTokenError, NotFoundError
from xds_server.store import codec, join_token_values, views
from xds_server.store.api_keys import hash_of, new_id
from xds_server.store.records import Action, JoinTokenRecord, ObjectType
from xds_server.store.settings import Invitation
from xds_server.store.tables import JoinTokenRow, KeyRow, NodeRow
from xds_server.store.writing import makers
from xds_server.store.writing.transaction import Transaction

#: Seconds for which a used or expired token is kept, so that another attempt learns which of the two it is.
_KEPT_SECONDS = 7 * 86_400
#: Seconds for which the key that used a token, and only it, is answered again: its first answer may have been
#: lost.
_REPEAT_SECONDS = 15 * 60
_ANOTHER = "ask the gateway's operator for another (`trunkline nodes invite`)"


def invite(
    transaction: Transaction, organisation: str, invitation: Invitation, *, fingerprint: str, created_by: str = ""
) -> tuple[JoinTokenRecord, str]:
    """Creates a token. Returns it, and its value, which is stored nowhere. `fingerprint` is the CA's, in hex;
    `created_by` the id of the user who makes it.

    Raises NotFoundError for the organisation or the owner's key, AlreadyExistsError for the node's name,
    ForbiddenError if the user may not make it any more.
    """
    organisation_id = transaction.organisation_id(organisation)
    owner_key_id = _key_id(transaction, organisation, invitation.owner_key) if invitation.owner_key else ""
    if invitation.name and _is_taken(transaction, organisation_id, invitation.name):
        raise AlreadyExistsError(
            f'node "{organisation}/{invitation.name}" exists: remove it first, or choose another name'
        )
    _forget(transaction)
    public_id = new_id()
    value = join_token_values.new_value(public_id, fingerprint)
    token = JoinTokenRecord(
        id=public_id,
        organisation_id=organisation_id,
        owner_key_id=owner_key_id,
        name=invitation.name,
        visibility=invitation.visibility,
        require_approval=invitation.require_approval,
        created_at=transaction.now,
        created_by=created_by,
        expires_at=transaction.now + invitation.ttl_seconds,
    )
    makers.require(makers.may_invite_node(transaction, makers.caller(transaction, created_by), token))
    row = JoinTokenRow(**codec.JOIN_TOKEN.encode(token), hash=hash_of(value), used_at=0)
    transaction.session.add(row)
    transaction.session.flush()
    _record(transaction, Action.CREATE, organisation, token)
    return token, value


def redeem(transaction: Transaction, value: str, node_id: str, key_hash: bytes) -> tuple[JoinTokenRecord, str]:
    """Uses up the token for a node of this id, whose public key has this SHA-256.

    Transactions run one after the other on all replicas: of two, the second finds the token used. If this same key
    has just used it, the returned id is that of the node created then; otherwise it is `node_id`. Raises
    JoinTokenError.
    """
    public_id = join_token_values.public_id(value)
    row = transaction.session.get(JoinTokenRow, public_id) if public_id else None
    # A caller without the whole token learns nothing about it.
    if row is None or not hmac.compare_digest(row.hash, hash_of(value)):
        raise JoinTokenError(
            "this join token is not known: it was not copied completely, is another gateway's, was withdrawn, or "
            f"was used or expired long ago; {_ANOTHER}"
        )
    if row.used_at and _is_repeat(transaction, row, key_hash):
        return codec.JOIN_TOKEN.decode_row(row), row.node_id
    if row.used_at:
        raise JoinTokenError(
            f"this join token was used at {_moment(row.used_at)}, and each admits one machine; {_ANOTHER}"
        )
    if row.expires_at <= transaction.now:
        raise JoinTokenError(f"this join token expired at {_moment(row.expires_at)}; {_ANOTHER}")
    row.used_at, row.node_id, row.key_hash = transaction.now, node_id, key_hash
    transaction.session.add(row)
    _forget(transaction)
    return codec.JOIN_TOKEN.decode_row(row), node_id


def withdraw(transaction: Transaction, organisation: str, *, owner_key_id: str = "") -> None:
    """Removes the organisation's tokens, or only those that would admit a node of one owner's key."""
    found = select(JoinTokenRow).where(JoinTokenRow.organisation_id == transaction.organisation_id(organisation))
    if owner_key_id:
        found = found.where(JoinTokenRow.owner_key_id == owner_key_id)
    for row in transaction.session.exec(found.order_by(col(JoinTokenRow.id))).all():
        remove(transaction, row)
    transaction.session.flush()


def remove(transaction: Transaction, row: JoinTokenRow) -> None:
    """Removes a token, with an event if it would still admit a node."""
    if not row.used_at and row.expires_at > transaction.now:
        organisation = makers.organisation(transaction, row.organisation_id)
        _record(transaction, Action.DELETE, organisation, codec.JOIN_TOKEN.decode_row(row))
    transaction.session.delete(row)


def _is_repeat(transaction: Transaction, row: JoinTokenRow, key_hash: bytes) -> bool:
    """Returns whether the same key asks again soon, and the node still exists."""
    if not hmac.compare_digest(row.key_hash, key_hash):
        return False
    if transaction.now >= min(row.expires_at, row.used_at + _REPEAT_SECONDS):
        return False
    node = transaction.session.get(NodeRow, row.node_id)
    return node is not None and node.removed_at == 0


def _forget(transaction: Transaction) -> None:
    """Removes old tokens, without an event: they admit nobody any more."""
    before = transaction.now - _KEPT_SECONDS
    used, expires = col(JoinTokenRow.used_at), col(JoinTokenRow.expires_at)
    transaction.session.exec(delete_rows(JoinTokenRow).where(or_((used > 0) & (used < before), expires < before)))


def _key_id(transaction: Transaction, organisation: str, name: str) -> str:
    found = transaction.session.exec(
        select(KeyRow.id).where(
            KeyRow.organisation_id == transaction.organisation_id(organisation),
            KeyRow.name == name,
            KeyRow.revoked_at == 0,
        )
    ).first()
    if found is None:
        raise NotFoundError(f'no key "{organisation}/{name}": `trunkline keys list` shows which there are')
    return found


def _is_taken(transaction: Transaction, organisation_id: str, name: str) -> bool:
    statement = select(NodeRow.id).where(
        NodeRow.organisation_id == organisation_id, NodeRow.name == name, NodeRow.removed_at == 0
    )
    return transaction.session.exec(statement).first() is not None


def _record(transaction: Transaction, action: Action, organisation: str, token: JoinTokenRecord) -> None:
    view = views.join_token(token)
    before, after = (None, view) if action is Action.CREATE else (view, None)
    transaction.record(
        action,
        ObjectType.JOIN_TOKEN,
        f"{organisation}/{token.id}",
        before,
        after,
        organisation_id=token.organisation_id,
    )


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
