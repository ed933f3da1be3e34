"""The usage that a caller may read, as conditions in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Condition(NamedTuple):
    """A piece of SQL and the values of its `?`."""

    sql: str
    arguments: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The usage that a caller may read: all usage of some organisations, and of some keys, by their ids."""

    organisation_ids: tuple[str, ...]
    key_ids: tuple[str, ...]

    def of_columns(self, organisation: str, key: str) -> Condition:
        """Returns a condition on the columns of these names; it begins with AND."""
        parts = [
            f"{column} IN ({', '.join('?' * len(ids))})"
            for column, ids in ((organisation, self.organisation_ids), (key, self.key_ids))
            if ids
        ]
        return Condition(f" AND ({' OR '.join(parts) or '1 = 0'})", (*self.organisation_ids, *self.key_ids))

    def has(self, organisation_id: str, key_id: str) -> bool:
        """Returns whether a record of this organisation and key is within."""
        return organisation_id in self.organisation_ids or key_id in self.key_ids
