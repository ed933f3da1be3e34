"""Creates, changes and revokes API keys; `rotation` gives them other values."""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import select

from xds_server.errors import AlreadyExistsError, InvalidFieldError, NotFoundError
from xds_server.model import Key
from xds_server.store import api_keys, codec, views
from xds_server.store.records import Action, KeyRecord, ObjectType
from xds_server.store.settings import KeyChange, KeySettings
from xds_server.store.tables import KeyRow, OrganisationRow
from xds_server.store.writing import join_tokens, nodes
from xds_server.store.writing.management import removing, settled
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current

#: Seconds for which a key may choose targets.
_PINS_FOR = 86_400


def create(
    transaction: Transaction, organisation: str, name: str, settings: KeySettings, *, value: str = ""
) -> tuple[Key, str]:
    """Creates a key. Returns it, and its value, which is generated here if none is given and stored nowhere.

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
    index.check_free(hash_, label)
    key = Key(
        id=public_id,
        organisation_id=organisation_id,
        name=name,
        hash=hash_,
        models=settings.models,
        limits=settings.limits,
        expires_at=settings.expires_at,
        max_price=settings.max_price,
        priority=settings.priority,
        pins_targets=settings.pins_targets,
        created_at=transaction.now,
        version=transaction.revision,
    )
    _check_pins(key, transaction.now)
    key = settled(transaction, ObjectType.KEY, label, None, key)
    row = KeyRow(**codec.KEY.encode(key), revoked_at=0)
    transaction.session.add(row)
    index.add(row)
    transaction.record(Action.CREATE, ObjectType.KEY, label, None, views.key(key), organisation_id=organisation_id)
    return key, value


def update(
    transaction: Transaction, organisation: str, name: str, settings: KeySettings, *, expected: int = 0
) -> Key:
    """Replaces the key's settings. `expected` 0 accepts any version.

    Raises NotFoundError, StaleWriteError, ManagedError.
    """
    row = _find(transaction, transaction.organisation_id(organisation), name)
    label = display_name(organisation, name)
    check_current(ObjectType.KEY, label, current=row.version if row else None, expected=expected)
    if row is None:
        raise NotFoundError(f'no key "{label}"')
    before = codec.KEY.decode_row(row)
    return store(transaction, label, before, settings.of(before))


def change(transaction: Transaction, reference: str, wanted: KeyChange, *, expected: int = 0) -> KeyRecord:
    """Changes the given settings of a key. `reference` is as in `find`.

    Raises what `find` raises, StaleWriteError, ManagedError, and AlreadyExistsError for the name.
    """
    row, organisation = find(transaction, reference)
    label = display_name(organisation, row.name)
    check_current(ObjectType.KEY, label, current=row.version, expected=expected)
    before = codec.KEY.decode_row(row)
    after = wanted.of(before, transaction.now)
    if after.name != before.name:
        names = transaction.keys().names
        if (before.organisation_id, after.name) in names:
            taken = display_name(organisation, after.name)
            raise AlreadyExistsError(f'key "{taken}" exists: revoke it first, or choose another name')
        names.discard((before.organisation_id, before.name))
        names.add((before.organisation_id, after.name))
    stored = store(transaction, label, before, after)
    if after.name != before.name:
        # Under its former name the key is gone: the file does not create it again.
        removing(transaction, ObjectType.KEY, label, before.managed_by)
    return KeyRecord(stored, organisation, 0)


def store(transaction: Transaction, label: str, before: Key, after: Key, action: Action = Action.UPDATE) -> Key:
    """Stores a changed key and returns it. Writes nothing if nothing changes. Raises ManagedError."""
    after = settled(transaction, ObjectType.KEY, label, before, after)
    if after == before:
        return before
    _check_pins(after, transaction.now)
    after = replace(after, version=transaction.revision)
    transaction.session.merge(KeyRow(**codec.KEY.encode(after), revoked_at=0))
    secrets_changed = ["value"] if after.hash != before.hash else []
    view, viewed = views.key(before), views.key(after)
    transaction.record(
        action,
        ObjectType.KEY,
        label,
        view,
        viewed,
        organisation_id=after.organisation_id,
        secrets_changed=secrets_changed,
    )
    return after


def find(transaction: Transaction, reference: str) -> tuple[KeyRow, str]:
    """Returns the key that is not revoked with this id, organisation/name, or name; and its organisation's name.

    Raises NotFoundError, and InvalidFieldError for a name that several keys have.
    """
    session = transaction.session
    row = session.get(KeyRow, reference)
    if row is not None and row.revoked_at == 0:
        return row, session.get_one(OrganisationRow, row.organisation_id).name
    organisation, separator, name = reference.rpartition("/")
    statement = select(KeyRow, OrganisationRow.name).where(
        KeyRow.organisation_id == OrganisationRow.id, KeyRow.name == name, KeyRow.revoked_at == 0
    )
    if separator:
        statement = statement.where(OrganisationRow.name == organisation)
    found = list(session.exec(statement).all())
    if not found:
        revoked = "it is revoked" if row is not None else "`trunkline keys list` shows which there are"
        raise NotFoundError(f'no key "{reference[:200]}": {revoked}')
    if len(found) > 1:
        labels = ", ".join(sorted(f"{display_name(owner, each.name)} ({each.id})" for each, owner in found[:20]))
        raise InvalidFieldError([f'id: several keys are called "{name}": {labels}; accepted: an id'])
    return found[0]


def replaced(transaction: Transaction, label: str, current: Key, settings: KeySettings) -> KeySettings:
    """Revokes a key that is replaced by one with another value. Returns the new key's settings, with the limits
    that other managers have set.
    """
    after = settled(transaction, ObjectType.KEY, label, current, settings.of(current))
    revoke(transaction, current.id)
    return KeySettings.in_force(after)


def was_revoked(transaction: Transaction, organisation: str, name: str, hash_: bytes) -> bool:
    """Returns whether a key of this name and value was revoked."""
    if organisation not in transaction.organisation_ids:
        return False
    owner = transaction.organisation_ids[organisation]
    return bool(
        transaction.snapshot().rows(
            "SELECT 1 FROM api_key WHERE organisation_id = ? AND name = ? AND hash = ? AND revoked_at > 0 LIMIT 1",
            owner,
            name,
            hash_,
        )
    )


def revoke(transaction: Transaction, reference: str) -> KeyRecord:
    """Revokes a key. Its nodes become its organisation's, see nodes.disown, and its unused join tokens become
    invalid.

    Revoking a revoked key, which can only be named by its id, changes nothing. A key that a file manages is
    revoked too, and the file does not bring it back. Raises what `find` raises.
    """
    row = transaction.session.get(KeyRow, reference) or find(transaction, reference)[0]
    owner = transaction.session.get_one(OrganisationRow, row.organisation_id)
    if row.revoked_at == 0:
        transaction.keys().discard(row)
        row.revoked_at = transaction.now
        row.version = transaction.revision
        transaction.session.add(row)
        transaction.session.flush()
        _record_end(transaction, Action.REVOKE, row, owner.name)
        join_tokens.withdraw(transaction, owner.name, owner_key_id=row.id)
        nodes.disown(transaction, row.id)
    return KeyRecord(codec.KEY.decode_row(row), owner.name, row.revoked_at)


def delete(transaction: Transaction, row: KeyRow, *, organisation: str) -> None:
    """Deletes a key with its organisation; a key that was revoked before is deleted without an event."""
    if row.revoked_at == 0:
        _record_end(transaction, Action.DELETE, row, organisation)
    transaction.keys().discard(row)
    transaction.session.delete(row)


def _record_end(transaction: Transaction, action: Action, row: KeyRow, organisation: str) -> None:
    label = display_name(organisation, row.name)
    removing(transaction, ObjectType.KEY, label, row.managed_by)
    before = views.key(codec.KEY.decode_row(row))
    transaction.record(action, ObjectType.KEY, label, before, None, organisation_id=row.organisation_id)


def display_name(organisation: str, name: str) -> str:
    """Returns the name in audit events and differences."""
    return f"{organisation}/{name}"


def _check_pins(key: Key, now: int) -> None:
    """Raises InvalidFieldError for a key that may choose targets for longer than a day."""
    if key.pins_targets and not 0 < key.expires_at <= now + _PINS_FOR:
        raise InvalidFieldError(
            ["key.expires_at: a key with `pins_targets` lasts a day at most; accepted: a time within 24 hours"]
        )


def _find(transaction: Transaction, organisation_id: str, name: str) -> KeyRow | None:
    return transaction.session.exec(
        select(KeyRow).where(
            KeyRow.organisation_id == organisation_id, KeyRow.name == name, KeyRow.revoked_at == 0
        )
    ).first()
