"""Gives API keys other secrets. At most two are valid at a time: the newest, and the previous one in its grace
time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from xds_server.errors import GraceTimeError
from xds_server.model import Key
from xds_server.store import api_keys, codec
from xds_server.store.records import Action, KeyRecord, ObjectType
from xds_server.store.settings import EndingSecret, Rotation
from xds_server.store.writing import keys
from xds_server.store.writing.transaction import Transaction
from xds_server.store.writing.versions import check_current

DEFAULT_GRACE = 86_400
#: Replaced secrets that are remembered, so that none of them becomes valid again.
_REMEMBERED = 100


def rotate(
    transaction: Transaction, reference: str, rotation: Rotation, *, expected: int = 0
) -> tuple[KeyRecord, str]:
    """Rotates a key. Returns it, and its new value, which is stored nowhere. `expected` 0 accepts any version.

    Raises what `keys.find` raises, StaleWriteError, AlreadyExistsError for the value, and GraceTimeError if two
    secrets are valid and the rotation does not say which one ends.
    """
    row, organisation = keys.find(transaction, reference)
    label = keys.display_name(organisation, row.name)
    check_current(ObjectType.KEY, label, current=row.version, expected=expected)
    before = codec.KEY.decode_row(row)
    value = rotation.value or api_keys.new_value(before.id)
    hash_ = api_keys.hash_of(value)
    index = transaction.keys()
    index.check_free(hash_, label)
    after = replace(_with_former(before, rotation, transaction.now, label), hash=hash_)
    after = replace(after, retired=(*before.retired, before.hash.hex())[-_REMEMBERED:])
    index.hashes.pop(before.hash, None)
    index.hashes[hash_] = index.retired[before.hash] = before.id
    return KeyRecord(keys.store(transaction, label, before, after, Action.ROTATE), organisation, 0), value


def was_replaced(key: Key, value: str) -> bool:
    """Returns whether a rotation of the key has replaced this value."""
    return bool(key.retired) and api_keys.hash_of(value).hex() in key.retired


def _with_former(key: Key, rotation: Rotation, now: int, label: str) -> Key:
    """Returns `key` with the secret that stays valid for a while. Raises GraceTimeError."""
    running = key.former_until > now
    until = now + (DEFAULT_GRACE if rotation.grace is None else rotation.grace)
    if rotation.ends is EndingSecret.NEWEST:
        if not running:
            raise GraceTimeError(
                f'key "{label}": only its newest secret works, so its clients would be left without one; give a '
                "grace period of 0 to end it at once"
            )
        return key if rotation.grace is None else replace(key, former_until=until)
    if running and rotation.ends is None and rotation.grace != 0:
        ends = datetime.fromtimestamp(key.former_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise GraceTimeError(
            f'key "{label}" was rotated, and two secrets of it work until {ends}: say which one ends now, the '
            "former (clients have taken the newest over) or the newest (it was lost, or others know it), or give "
            "a grace period of 0, which ends both"
        )
    return replace(key, former_hash=key.hash, former_until=until)
