"""Checks uniqueness among keys, in memory for one transaction: creating 10,000 keys queries the database once."""

from __future__ import annotations

import json

from xds_server.errors import AlreadyExistsError
from xds_server.store import api_keys
from xds_server.store.connection import DatabaseSnapshot
from xds_server.store.tables import KeyRow


class KeyIndex:
    """An index of keys. `ids` includes those of revoked keys; `names` are (organisation id, name); `hashes` lead
    to ids, and so do the hashes that rotations have `retired`.
    """

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.names: set[tuple[str, str]] = set()
        self.hashes: dict[bytes, str] = {}
        self.retired: dict[bytes, str] = {}

    @classmethod
    def load(cls, snapshot: DatabaseSnapshot) -> KeyIndex:
        """Reads the index from the database. Of revoked keys, names and hashes are free again, ids are not."""
        index = cls()
        for id_, organisation_id, name, hash_, revoked_at, retired in snapshot.rows(
            "SELECT id, organisation_id, name, hash, revoked_at, retired FROM api_key"
        ):
            index.ids.add(id_)
            if revoked_at == 0:
                index.names.add((organisation_id, name))
                index.hashes[bytes(hash_)] = id_
                index.retired.update((each, id_) for each in _hashes(retired))
        return index

    def add(self, row: KeyRow) -> None:
        """Adds a key that this transaction creates."""
        self.ids.add(row.id)
        self.names.add((row.organisation_id, row.name))
        self.hashes[row.hash] = row.id
        self.retired.update((each, row.id) for each in _hashes(row.retired))

    def discard(self, row: KeyRow) -> None:
        """Frees the key's name and value; its id stays taken, for the reports."""
        if row.revoked_at == 0:
            self.names.discard((row.organisation_id, row.name))
            self.hashes.pop(row.hash, None)
            for each in _hashes(row.retired):
                self.retired.pop(each, None)

    def is_free(self, hash_: bytes) -> bool:
        """Returns whether no key has this value, or had it before a rotation."""
        return hash_ not in self.hashes and hash_ not in self.retired

    def check_free(self, hash_: bytes, label: str) -> None:
        """Raises AlreadyExistsError for a value that is taken."""
        if hash_ in self.hashes:
            raise AlreadyExistsError(
                f'key "{label}": the value given is in use by the key with id {self.hashes[hash_]}; choose another'
            )
        if hash_ in self.retired:
            raise AlreadyExistsError(
                f'key "{label}": the value given was replaced by a rotation of the key with id '
                f"{self.retired[hash_]}; choose another"
            )

    def free_id(self, value: str) -> str:
        """Returns the id inside a value that another Trunkline generated, if it is free here; otherwise a new
        one.
        """
        candidate = api_keys.public_id(value) or api_keys.new_id()
        while candidate in self.ids:
            candidate = api_keys.new_id()
        return candidate


def _hashes(retired: str) -> list[bytes]:
    return [bytes.fromhex(each) for each in json.loads(retired)] if retired != "[]" else []
