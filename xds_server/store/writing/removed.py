"""The files' objects that the API has removed, in memory for one transaction: applying queries the database
once.
"""

from __future__ import annotations

from sqlmodel import Session, col, delete, select

from xds_server.store.records import ObjectType
from xds_server.store.tables import RemovedRow


class Removed:
    """Removed objects by kind, name, and part: empty for the object as a whole, otherwise the name of a limit."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._parts: dict[tuple[str, str], set[str]] = {}
        for row in session.exec(select(RemovedRow)).all():
            self._parts.setdefault((row.object_type, row.object_name), set()).add(row.part)

    def has(self, object_type: ObjectType, name: str, part: str = "") -> bool:
        """Returns whether an object, or a part of it such as a limit, was removed by a command."""
        return part in self._parts.get((object_type, name), ())

    def add(self, object_type: ObjectType, name: str, part: str, *, managed_by: str, now: int) -> None:
        """Records a removal. `managed_by` is the file; `now` is Unix seconds."""
        row = RemovedRow(
            object_type=object_type, object_name=name, part=part, managed_by=managed_by, removed_at=now
        )
        self._session.merge(row)
        self._session.flush()
        self._parts.setdefault((object_type, name), set()).add(part)

    def forget(self, object_type: ObjectType, name: str) -> None:
        """Forgets the removal of an object and all its parts."""
        if self._parts.pop((object_type, name), None) is not None:
            self._session.exec(
                delete(RemovedRow).where(
                    col(RemovedRow.object_type) == object_type, col(RemovedRow.object_name) == name
                )
            )

    def forget_part(self, object_type: ObjectType, name: str, part: str) -> None:
        """Forgets the removal of one part, because a command or a file has made it again."""
        if self.has(object_type, name, part):
            self._parts[object_type, name].discard(part)
            self._session.exec(
                delete(RemovedRow).where(
                    col(RemovedRow.object_type) == object_type,
                    col(RemovedRow.object_name) == name,
                    col(RemovedRow.part) == part,
                )
            )
