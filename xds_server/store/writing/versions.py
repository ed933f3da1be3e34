"""Optimistic concurrency: what a write that names a version may do."""

from __future__ import annotations

from xds_server.errors import AlreadyExistsError, NotFoundError, StaleWriteError
from xds_server.store.records import ObjectType


def check_put(object_type: ObjectType, name: str, *, current: int | None, expected: int | None) -> None:
    """Checks a write. `current` None: the object does not exist. `expected` None: write in any case; 0: create
    only.

    Raises AlreadyExistsError, NotFoundError, StaleWriteError.
    """
    if expected is None:
        return
    if expected == 0:
        if current is not None:
            raise AlreadyExistsError(
                f'{object_type} "{name}" exists at version {current}: give that version to replace it'
            )
        return
    check_current(object_type, name, current=current, expected=expected)


def check_current(object_type: ObjectType, name: str, *, current: int | None, expected: int) -> None:
    """Checks a change. `expected` 0 means any version. Raises NotFoundError, StaleWriteError."""
    if current is None:
        raise NotFoundError(f'no {object_type} "{name}"')
    if expected not in (0, current):
        raise StaleWriteError.of(object_type, name, given=expected, current=current)
