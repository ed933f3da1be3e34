"""Changes nodes: how they join and leave, and what operators decide about them."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import col, select

from xds_server.errors import AlreadyExistsError, InvalidFieldError, NotFoundError
from xds_server.model import Node, Visibility
from xds_server.store import codec, node_names, views
from xds_server.store.records import Action, ObjectType
from xds_server.store.settings import NodeChange
from xds_server.store.tables import NodeRow, OrganisationRow
from xds_server.store.writing import join_tokens
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current


def enrol(transaction: Transaction, token: str, proposed_name: str, key_hash: bytes) -> Node:
    """Creates a node from its join token, which is used up. The transaction's actor becomes the node.

    `proposed_name` may be anything; the node's name is derived from it and unique in its organisation. If the same
    key uses the same token again, the existing node is returned and nothing changes; `key_hash` is the SHA-256 of
    the public key. Raises JoinTokenError.
    """
    invitation, node_id = join_tokens.redeem(transaction, token, node_names.new_id(), key_hash)
    present = _present(transaction, node_id)
    if present is not None:
        return codec.NODE.decode_row(present)
    organisation_id = invitation.organisation_id
    taken = transaction.session.exec(
        select(NodeRow.name).where(NodeRow.organisation_id == organisation_id, NodeRow.removed_at == 0)
    ).all()
    node = Node(
        id=node_id,
        organisation_id=organisation_id,
        owner_key_id=invitation.owner_key_id,
        name=node_names.fitted(invitation.name or proposed_name, frozenset(taken)),
        visibility=invitation.visibility,
        approved=not invitation.require_approval,
        created_at=transaction.now,
        version=transaction.revision,
    )
    row = NodeRow(**codec.NODE.encode(node), removed_at=0)
    transaction.session.add(row)
    transaction.session.flush()
    transaction.actor = _actor(row)
    transaction.record(
        Action.CREATE,
        ObjectType.NODE,
        _label(transaction, row),
        None,
        {**views.node(node), "join_token": invitation.id},
        organisation_id=organisation_id,
    )
    return node


def leave(transaction: Transaction, node_id: str) -> Node:
    """Removes a node at its own request: the transaction's actor becomes the node. Raises NotFoundError."""
    row = _present(transaction, node_id)
    if row is None:
        raise NotFoundError(f'no node "{node_id}"')
    transaction.actor = _actor(row)
    return _remove(transaction, row)


def remove(transaction: Transaction, reference: str, *, expected: int = 0) -> Node:
    """Removes a node. `reference` is as for `update`. Raises NotFoundError, StaleWriteError, InvalidFieldError."""
    row = _find(transaction, reference)
    check_current(ObjectType.NODE, _label(transaction, row), current=row.version, expected=expected)
    return _remove(transaction, row)


def update(transaction: Transaction, reference: str, change: NodeChange, *, expected: int = 0) -> Node:
    """Changes a node. `reference` is an id, a name that only one organisation uses, or `organisation/name`.

    Raises NotFoundError, StaleWriteError, AlreadyExistsError for the name, and InvalidFieldError for a reference
    that means several nodes.
    """
    row = _find(transaction, reference)
    label = _label(transaction, row)
    check_current(ObjectType.NODE, label, current=row.version, expected=expected)
    before = codec.NODE.decode_row(row)
    after = change.of(before)
    if after == before:
        return before
    if after.name != before.name and _named(transaction, after.name, row.organisation_id):
        raise AlreadyExistsError(
            f'node "{label}": its organisation has a node "{after.name}"; choose another name'
        )
    return _change(transaction, row, after)


def disown(transaction: Transaction, key_id: str) -> None:
    """Makes the organisation the owner of the nodes of a key that no longer exists.

    Nobody gains access by this: what was private to the key serves nobody until an operator approves it again.
    """
    owned = (
        select(NodeRow).where(NodeRow.owner_key_id == key_id, NodeRow.removed_at == 0).order_by(col(NodeRow.id))
    )
    for row in transaction.session.exec(owned).all():
        before = codec.NODE.decode_row(row)
        approved = before.approved and before.visibility is not Visibility.PRIVATE
        _change(transaction, row, replace(before, owner_key_id="", approved=approved))


def delete_all(transaction: Transaction, organisation: str) -> None:
    """Deletes all nodes with their organisation, including the rows of removed nodes."""
    found = select(NodeRow).where(NodeRow.organisation_id == transaction.organisation_id(organisation))
    for row in transaction.session.exec(found.order_by(col(NodeRow.name))).all():
        if row.removed_at == 0:
            transaction.record(
                Action.DELETE,
                ObjectType.NODE,
                f"{organisation}/{row.name}",
                views.node(codec.NODE.decode_row(row)),
                None,
                organisation_id=row.organisation_id,
            )
        transaction.session.delete(row)
    transaction.session.flush()


def _change(transaction: Transaction, row: NodeRow, after: Node) -> Node:
    before, label = codec.NODE.decode_row(row), _label(transaction, row)
    after = replace(after, version=transaction.revision)
    transaction.session.merge(NodeRow(**codec.NODE.encode(after), removed_at=0))
    transaction.session.flush()
    transaction.record(
        Action.UPDATE,
        ObjectType.NODE,
        label,
        views.node(before),
        views.node(after),
        organisation_id=after.organisation_id,
    )
    return after


def _remove(transaction: Transaction, row: NodeRow) -> Node:
    node = codec.NODE.decode_row(row)
    row.removed_at = transaction.now
    row.version = transaction.revision
    transaction.session.add(row)
    transaction.session.flush()
    transaction.record(
        Action.DELETE,
        ObjectType.NODE,
        _label(transaction, row),
        views.node(node),
        None,
        organisation_id=node.organisation_id,
    )
    return node


def _find(transaction: Transaction, reference: str) -> NodeRow:
    row = _present(transaction, reference)
    if row is not None:
        return row
    organisation, separator, name = reference.rpartition("/")
    found = _named(transaction, name, transaction.organisation_id(organisation) if separator else "")
    if not found:
        raise NotFoundError(f'no node "{reference[:200]}": `trunkline nodes list` shows which there are')
    if len(found) > 1:
        labels = ", ".join(sorted(f"{_label(transaction, each)} ({each.id})" for each in found[:20]))
        raise InvalidFieldError([f'node_id: several nodes are called "{name}": {labels}; accepted: an id'])
    return found[0]


def _present(transaction: Transaction, node_id: str) -> NodeRow | None:
    row = transaction.session.get(NodeRow, node_id)
    return row if row is not None and row.removed_at == 0 else None


def _named(transaction: Transaction, name: str, organisation_id: str = "") -> list[NodeRow]:
    statement = select(NodeRow).where(NodeRow.name == name, NodeRow.removed_at == 0)
    if organisation_id:
        statement = statement.where(NodeRow.organisation_id == organisation_id)
    return list(transaction.session.exec(statement).all())


def _label(transaction: Transaction, row: NodeRow) -> str:
    """Returns the name in audit events and differences."""
    owner = transaction.session.get_one(OrganisationRow, row.organisation_id)
    return f"{owner.name}/{row.name}"


def _actor(row: NodeRow) -> str:
    return f"node:{row.id}"
