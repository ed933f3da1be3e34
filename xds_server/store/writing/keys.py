"""Making, changing and revoking API keys. A key's value never changes: another value is another key."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import select

from xds_server.errors import AlreadyExistsError, NotFoundError
from xds_server.model import Key
from xds_server.store import api_keys, codec, views
from xds_server.store.records import Action, KeyRecord, ObjectType
from xds_server.store.settings import KeySettings
from xds_server.store.tables import KeyRow, OrganisationRow
from xds_server.store.writing import join_tokens, nodes
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current


def create(
    transaction: Transaction, organisation: str, name: str, settings: KeySettings, *, value: str = ""
) -> tuple[Key, str]:
    """The key, and its value, which is made here if none is given and kept nowhere.

    Raises NotFoundError for the organisation, AlreadyExistsError for the name or the value.
    """
    organisation_id = transaction.organisation_id(organisation)
    label = display_name(organisation, name)
    index = transaction.keys()
    if (organisation_id, name) in index.names:
        raise AlreadyExistsError(f'key "{label}" exists: revoke it first, or choose another name')
    public_id = index.free_id(value)
    value = value or api_keys.new_value(public_id)
    hash_ = api_keys.hash_of(value)
    if hash_ in index.hashes:
        raise AlreadyExistsError(
            f'key "{label}": the value given is in use by the key with id {index.hashes[hash_]}; choose another'
        )
    key = Key(
        id=public_id,
        organisation_id=organisation_id,
        name=name,
        hash=hash_,
        models=settings.models,
        limits=settings.limits,
        expires_at=settings.expires_at,
        created_at=transaction.now,
        version=transaction.revision,
    )
    row = KeyRow(**codec.KEY.encode(key), revoked_at=0)
    transaction.session.add(row)
    index.add(row)
    transaction.record(Action.CREATE, ObjectType.KEY, label, None, views.key(key))
    return key, value


def update(
    transaction: Transaction, organisation: str, name: str, settings: KeySettings, *, expected: int = 0
) -> Key:
    """Changes what the key may do. `expected` 0: whatever its version. Raises NotFoundError, StaleWriteError."""
    row = _find(transaction, transaction.organisation_id(organisation), name)
    label = display_name(organisation, name)
    check_current(ObjectType.KEY, label, current=row.version if row else None, expected=expected)
    if row is None:
        raise NotFoundError(f'no key "{label}"')
    before = codec.KEY.decode_row(row)
    after = settings.of(before)
    if after == before:
        return before
    after = replace(after, version=transaction.revision)
    transaction.session.merge(KeyRow(**codec.KEY.encode(after), revoked_at=0))
    transaction.record(Action.UPDATE, ObjectType.KEY, label, views.key(before), views.key(after))
    return after


def revoke(transaction: Transaction, key_id: str) -> KeyRecord:
    """Its nodes become its organisation's, see nodes.disown, and its unused join tokens admit nobody.

    Revoking a revoked key changes nothing. Raises NotFoundError.
    """
    row = transaction.session.get(KeyRow, key_id)
    if row is None:
        raise NotFoundError(f'no key with id "{key_id}"')
    owner = transaction.session.get_one(OrganisationRow, row.organisation_id)
    if row.revoked_at == 0:
        transaction.keys().discard(row)
        row.revoked_at = transaction.now
        row.version = transaction.revision
        transaction.session.add(row)
        transaction.session.flush()
        label = display_name(owner.name, row.name)
        transaction.record(Action.REVOKE, ObjectType.KEY, label, views.key(codec.KEY.decode_row(row)), None)
        join_tokens.withdraw(transaction, owner.name, owner_key_id=row.id)
        nodes.disown(transaction, row.id)
    return KeyRecord(codec.KEY.decode_row(row), owner.name, row.revoked_at)


def delete(transaction: Transaction, row: KeyRow, *, organisation: str) -> None:
    """With its organisation; a key that was revoked before leaves without an event."""
    if row.revoked_at == 0:
        label = display_name(organisation, row.name)
        transaction.record(Action.DELETE, ObjectType.KEY, label, views.key(codec.KEY.decode_row(row)), None)
    transaction.keys().discard(row)
    transaction.session.delete(row)


def display_name(organisation: str, name: str) -> str:
    """As in audit events and differences."""
    return f"{organisation}/{name}"


def _find(transaction: Transaction, organisation_id: str, name: str) -> KeyRow | None:
    return transaction.session.exec(
        select(KeyRow).where(
            KeyRow.organisation_id == organisation_id, KeyRow.name == name, KeyRow.revoked_at == 0
        )
    ).first()
