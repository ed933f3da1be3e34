"""Stores records that could not enter the ledger, in full: who sent them when, and what was wrong with each."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import NamedTuple

from trunkline_proto.ledger.v1 import ledger_pb2 as ledger

from xds_server.ledger.checking import RecordRefusal
from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot

#: Records that are stored, and bytes of one; further ones stay at their sender.
MAX_REFUSED = 5_000
_MAX = 65_536
_REASON = 500

_COLUMNS = {
    "digest": "bytea",
    "refused_at_us": "bigint",
    **dict.fromkeys(("source", "field", "reason"), "text"),
    "data": "bytea",
}


class RefusedRecord(NamedTuple):
    """A refused record. `refused_at_us` is Unix microseconds; `field` is empty if the reason is not a single
    field.
    """

    refused_at_us: int
    source: str
    field: str
    reason: str
    record: ledger.UsageRecord


def keep(writing: LedgerTransaction, source: str, refusals: Sequence[RecordRefusal]) -> Sequence[RecordRefusal]:
    """Stores each record once, and returns those for which there is no room."""
    room = MAX_REFUSED - count(writing)
    now = time.time_ns() // 1_000
    rows: list[tuple[object, ...]] = []
    left = []
    for refusal in refusals:
        data = refusal.record.SerializeToString(deterministic=True)
        if len(rows) >= room or len(data) > _MAX:
            left.append(refusal)
            continue
        digest = hashlib.blake2b(data, digest_size=16).digest()
        rows.append((digest, now, _text(source), refusal.field, _text(refusal.reason), data))
    writing.insert("usage_refused", _COLUMNS, rows, "ON CONFLICT DO NOTHING")
    return left


def count(snapshot: DatabaseSnapshot) -> int:
    """Returns how many there are."""
    ((number,),) = snapshot.rows("SELECT COUNT(*) FROM usage_refused")
    return int(number)


def newest(snapshot: DatabaseSnapshot, limit: int) -> list[RefusedRecord]:
    """Returns the newest first."""
    rows = snapshot.rows(
        "SELECT refused_at_us, source, field, reason, data FROM usage_refused "
        "ORDER BY refused_at_us DESC, digest LIMIT ?",
        limit,
    )
    return [
        RefusedRecord(at, source, field, reason, ledger.UsageRecord.FromString(bytes(data)))
        for at, source, field, reason, data in rows
    ]


def remove(writing: LedgerTransaction, before_us: int, batch: int) -> int:
    """Removes up to `batch` that arrived before `before_us` (Unix microseconds). Returns how many."""
    return writing.run(
        "DELETE FROM usage_refused WHERE digest IN ("
        "SELECT digest FROM usage_refused WHERE refused_at_us < ? ORDER BY refused_at_us LIMIT ?)",
        before_us,
        batch,
    )


def _text(text: str) -> str:
    """Makes a text that every database accepts."""
    return text[:_REASON].replace("\x00", "\ufffd")
