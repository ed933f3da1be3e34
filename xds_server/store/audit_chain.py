"""The audit log's hash chain.

An event's hash is the SHA-256 of, in this order:

1. the 17 bytes `trunkline audit 1`; if the object belonged to an organisation, `trunkline audit 2`,
2. the 32 bytes of the hash of the event before it (of the one with the next lower id); for the first, 32 zeros,
3. id, at_us and revision, each as 8 bytes, big-endian, signed,
4. actor, action, object_type, object_name, before and after, each as its length in bytes (8 bytes, big-endian)
   and its UTF-8 text; if the object belonged to an organisation, the organisation's id alike.

Every length is fixed or written, so different events never encode alike. This never changes: a chain that was
written once is verified for ever. Events that are older than the column `organisation_id` got its value later, so
their hashes, of the first form, say nothing about it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from xds_server.store.connection import DatabaseSnapshot

#: The hash before the first event.
GENESIS = bytes(32)

_OF_INSTALLATION, _OF_ORGANISATION = b"trunkline audit 1", b"trunkline audit 2"
_NUMBERS = struct.Struct(">qqq")
_LENGTH = struct.Struct(">Q")
_PAGE = 1_000


class ChainEntry(NamedTuple):
    """The hashed fields of an event, in the order of COLUMNS."""

    id: int
    at_us: int
    revision: int
    actor: str
    action: str
    object_type: str
    object_name: str
    before: str
    after: str
    organisation_id: str = ""


COLUMNS = ", ".join(ChainEntry._fields)


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """The result of a verification. `first_broken` is 0 for an intact chain; `head` is the newest event's hash,
    empty without events.
    """

    events: int
    first_broken: int
    head: bytes


def link(previous: bytes, entry: ChainEntry) -> bytes:
    """Returns the hash of `entry` after the event whose hash is `previous`."""
    *texts, organisation_id = entry[3:]
    digest = hashlib.sha256((_OF_ORGANISATION if organisation_id else _OF_INSTALLATION) + previous)
    digest.update(_NUMBERS.pack(entry.id, entry.at_us, entry.revision))
    for text in [*texts, organisation_id] if organisation_id else texts:
        # A text that was changed by SQL may not be valid.
        encoded = str(text).encode("utf-8", "surrogatepass")
        digest.update(_LENGTH.pack(len(encoded)) + encoded)
    return digest.digest()


def head(snapshot: DatabaseSnapshot) -> tuple[int, bytes]:
    """Returns the id and hash of the newest event; 0 and GENESIS without events."""
    rows = snapshot.rows("SELECT id, hash FROM audit_event ORDER BY id DESC LIMIT 1")
    return (int(rows[0][0]), bytes(rows[0][1])) if rows else (0, GENESIS)


def verify(snapshots: Callable[[], AbstractContextManager[DatabaseSnapshot]]) -> ChainVerdict:
    """Verifies the whole log, with one view of the database per thousand events.

    A changed event is named itself; for a removed or inserted event, the one after it is named.
    """
    events, first_broken, last, previous, says_owner = 0, 0, 0, GENESIS, False
    while True:
        with snapshots() as snapshot:
            rows = snapshot.rows(
                f"SELECT {COLUMNS}, hash FROM audit_event WHERE id > ? ORDER BY id LIMIT {_PAGE}",  # noqa: S608
                last,
            )
        for row in rows:
            entry, stored = ChainEntry(*row[:-1]), row[-1]
            follows = _follows(previous, entry, stored)
            if entry.organisation_id and not says_owner:
                # The first event that says so itself; every later one does.
                says_owner = follows
                follows = follows or _follows(previous, entry._replace(organisation_id=""), stored)
            if not first_broken and not follows:
                first_broken = entry.id
            last, previous = entry.id, stored if isinstance(stored, bytes) else b""
        events += len(rows)
        if len(rows) < _PAGE:
            return ChainVerdict(events, first_broken, previous if events else b"")


def _follows(previous: bytes, entry: ChainEntry, stored: object) -> bool:
    try:
        return link(previous, entry) == stored
    except (TypeError, struct.error):  # SQLite stores values of any type in a column
        return False
