"""What must be unique among keys, in memory for one transaction: making 10,000 keys asks the database once."""

from __future__ import annotations

from xds_server.store import api_keys
from xds_server.store.connection import Snapshot
from xds_server.store.tables import KeyRow


class KeyIndex:
    """`ids` has the revoked keys' too; `names` are (organisation id, name); `hashes` lead to ids."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.names: set[tuple[str, str]] = set()
        self.hashes: dict[bytes, str] = {}

    @classmethod
    def load(cls, snapshot: Snapshot) -> KeyIndex:
        index = cls()
        for id_, organisation_id, name, hash_, revoked_at in snapshot.rows(
            "SELECT id, organisation_id, name, hash, revoked_at FROM api_key"
        ):
            index.ids.add(id_)
            if revoked_at == 0:
                index.names.add((organisation_id, name))
                index.hashes[bytes(hash_)] = id_
        return index

    def add(self, row: KeyRow) -> None:
        self.ids.add(row.id)
        self.names.add((row.organisation_id, row.name))
        self.hashes[row.hash] = row.id

    def discard(self, row: KeyRow) -> None:
        """Its name and value are free again; its id stays taken, for the reports."""
        if row.revoked_at == 0:
            self.names.discard((row.organisation_id, row.name))
            self.hashes.pop(row.hash, None)

    def free_id(self, value: str) -> str:
        """The id inside a value that another Trunkline made, if it is free here; else a new one."""
        candidate = api_keys.public_id(value) or api_keys.new_id()
        while candidate in self.ids:
            candidate = api_keys.new_id()
        return candidate
