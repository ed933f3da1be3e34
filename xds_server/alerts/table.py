"""Stores alerts in the database: each once, whichever translator or replica it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from trunkline_proto.limits.v1 import limits_pb2 as pb

from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot

#: Alerts that are stored, including those of windows that have ended, and how many of the oldest make room.
MAX_ALERTS, ROOM = 20_000, 1_000
#: Seconds for which an alert is stored after its window.
_RETENTION_SECONDS = 7 * 86_400
_MAX_ERROR = 300

_COLUMNS = {
    "id": "text",
    "reached_at": "bigint",
    "until": "bigint",
    "data": "bytea",
    "delivery": "text",
    "attempts": "integer",
    "next_at": "bigint",
    "error": "text",
}
#: The same limit and share in a later window replaces the row.
_NEXT_WINDOW = (
    "ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "id")
    + " WHERE limit_alert.until <= excluded.reached_at"
)


class Delivery(StrEnum):
    """The state of an alert's delivery."""

    NONE = "none"
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class StoredAlert(NamedTuple):
    """An alert; `attempts` to send it have failed, the last one because of `error`."""

    id: str
    alert: pb.Alert
    delivery: Delivery
    attempts: int
    error: str


def identity(alert: pb.Alert) -> str:
    """Returns what identifies the limit, its value and its share, in any window."""
    limit = type(alert.limit)()
    limit.CopyFrom(alert.limit)
    limit.soft = False
    said = (alert.holder, alert.holder_id, limit.SerializeToString(deterministic=True), alert.value)
    return hashlib.blake2b(repr((*said, alert.share_permille)).encode(), digest_size=16).hexdigest()


def add(writing: LedgerTransaction, alerts: Iterable[pb.Alert], delivery: Delivery) -> list[pb.Alert]:
    """Stores alerts that are new; the oldest make room. Returns the new ones."""
    ((count,),) = writing.rows("SELECT COUNT(*) FROM limit_alert")
    if count >= MAX_ALERTS:
        writing.run(
            "DELETE FROM limit_alert WHERE id IN (SELECT id FROM limit_alert ORDER BY reached_at, id LIMIT ?)",
            count - MAX_ALERTS + ROOM,
        )
    new: list[pb.Alert] = []
    for alert in alerts:
        data = alert.SerializeToString(deterministic=True)
        row = (identity(alert), alert.reached_at, alert.until, data, delivery.value, 0, alert.reached_at, "")
        if writing.insert("limit_alert", _COLUMNS, [row], _NEXT_WINDOW):
            new.append(alert)
    return new


def claim(writing: LedgerTransaction, now: int, lease: int, most: int) -> list[StoredAlert]:
    """Claims alerts that are due: for `lease` seconds no other replica gets them."""
    due = _stored(
        writing,
        "WHERE delivery = ? AND next_at <= ? ORDER BY next_at LIMIT ?",
        Delivery.WAITING.value,
        now,
        most,
    )
    for each in due:
        writing.run("UPDATE limit_alert SET next_at = ? WHERE id = ?", now + lease, each.id)
    return due


def settle(
    writing: LedgerTransaction, sent: Sequence[StoredAlert], delivery: Delivery, *, next_at: int, error: str
) -> None:
    """Records the outcome of alerts, unless another window has begun meanwhile."""
    for each in sent:
        writing.run(
            "UPDATE limit_alert SET delivery = ?, attempts = ?, next_at = ?, error = ? "
            "WHERE id = ? AND reached_at = ?",
            delivery.value,
            each.attempts + (1 if error else 0),
            next_at,
            error[:_MAX_ERROR],
            each.id,
            each.alert.reached_at,
        )


def current(snapshot: DatabaseSnapshot, now: int, most: int) -> list[StoredAlert]:
    """Returns the alerts of windows that have not ended, newest first."""
    return _stored(snapshot, "WHERE until > ? ORDER BY reached_at DESC, id LIMIT ?", now, most)


def remove(writing: LedgerTransaction, now: int) -> int:
    """Removes old alerts. Returns how many."""
    return writing.run("DELETE FROM limit_alert WHERE until < ?", now - _RETENTION_SECONDS)


def _stored(snapshot: DatabaseSnapshot, condition: str, *parameters: object) -> list[StoredAlert]:
    rows = snapshot.rows(
        f"SELECT id, data, delivery, attempts, error FROM limit_alert {condition}",  # noqa: S608
        *parameters,
    )
    return [
        StoredAlert(id_, pb.Alert.FromString(bytes(data)), Delivery(delivery), attempts, error)
        for id_, data, delivery, attempts, error in rows
    ]
