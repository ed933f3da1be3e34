"""Whose usage a caller may read, as conditions in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Condition(NamedTuple):
    """A piece of SQL and what its `?` stand for."""

    sql: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """What somebody may read: all of some organisations, and of some keys. By ids."""

    organisation_ids: tuple[str, ...]
    key_ids: tuple[str, ...]

    def of_columns(self, organisation: str, key: str) -> Condition:
        """On the columns of these names; begins with AND."""
        parts = [
            f"{column} IN ({', '.join('?' * len(ids))})"
            for column, ids in ((organisation, self.organisation_ids), (key, self.key_ids))
            if ids
        ]
        return Condition(f" AND ({' OR '.join(parts) or '1 = 0'})", (*self.organisation_ids, *self.key_ids))

    def has(self, organisation_id: str, key_id: str) -> bool:
        return organisation_id in self.organisation_ids or key_id in self.key_ids
