"""Stores what records say about targets' speed and failures along with the records, for the ranking of targets.

Every replica reads what all of them wrote, and after a restart what was written before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, fields
from typing import NamedTuple

import orjson

from xds_server.ledger.connection import LedgerTransaction
from xds_server.routing.ranking import Ranking, WeightedTarget
from xds_server.routing.slots import RouteCredential, RouteTarget, Slot, sample, slot_of, summarise
from xds_server.routing.tiers import Rankings
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.records import Columns

COLUMNS = {
    "slot": "bigint",
    "route_id": "text",
    "target_id": "text",
    "credential_index": "integer",
    "data": "bytea",
}
_BEST = {"route_id": "text", "tier": "integer", "target_id": "text", "since": "double precision"}
_LATER = (
    "ON CONFLICT (route_id, tier) DO UPDATE SET target_id = excluded.target_id, since = excluded.since "
    "WHERE excluded.since > routing_best.since"
)
_FIELDS = tuple(each.name for each in fields(Slot))
_TYPES = [type(value) for value in astuple(Slot())]
#: Seconds by which the clocks of replicas may differ. A later time was stored before the clock was set back.
_SKEW = 60
#: Records of one batch that are examined. Medians and shares of this many are as good as those of all.
_SAMPLED = 250


class StoredSlot(NamedTuple):
    """Measurements of a target and credential from one batch of records; `id` rises with every slot that is
    stored.
    """

    id: int
    slot: int
    asked: RouteCredential
    content: Slot


def append(writing: LedgerTransaction, new: Columns, at: float) -> None:
    """Stores what new records say, in the transaction that stores the records; `at` is now, in Unix seconds."""
    slot = slot_of(at)
    rows = [
        (slot, *asked.served, asked.credential_index, _encode(content))
        for asked, content in summarise(sample(new, _SAMPLED)).items()
    ]
    writing.insert("routing_slot", COLUMNS, sorted(rows))


def after(snapshot: DatabaseSnapshot, last: int, oldest: int) -> Iterator[StoredSlot]:
    """Yields the measurements stored after the id `last`, from the slot `oldest` on, in order. Skips those that a
    replica of another version stored in another form.
    """
    rows = snapshot.rows(
        "SELECT id, slot, route_id, target_id, credential_index, data FROM routing_slot "
        "WHERE id > ? AND slot >= ? ORDER BY id",
        last,
        oldest,
    )
    for id_, slot, route_id, target_id, credential_index, data in rows:
        content = _decode(bytes(data))
        if content is not None:
            yield StoredSlot(
                id_, slot, RouteCredential(RouteTarget(route_id, target_id), credential_index), content
            )


def remove(writing: LedgerTransaction, before: int) -> int:
    """Removes the slots before `before`. Returns the number of rows."""
    return writing.run("DELETE FROM routing_slot WHERE slot < ?", before)


def best(snapshot: DatabaseSnapshot, now: float) -> Rankings:
    """Returns each tier's best target and since when it is the best; all replicas get the same. `now` is in Unix
    seconds.
    """
    rows = snapshot.rows("SELECT route_id, tier, target_id, since FROM routing_best WHERE since <= ?", now + _SKEW)
    return {
        (route_id, tier): Ranking((WeightedTarget(target, 0),), since) for route_id, tier, target, since in rows
    }


def put_best(writing: LedgerTransaction, rankings: Rankings, now: float) -> None:
    """Stores the best target of each tier, unless a target that became the best later is stored."""
    writing.run("DELETE FROM routing_best WHERE since > ?", now + _SKEW)
    rows = [(*key, ranking.shares[0].target_id, ranking.since) for key, ranking in sorted(rankings.items())]
    writing.insert("routing_best", _BEST, rows, _LATER)


def _encode(content: Slot) -> bytes:
    return orjson.dumps(astuple(content), option=orjson.OPT_NON_STR_KEYS)


def _decode(data: bytes) -> Slot | None:
    stored = orjson.loads(data)
    if [type(value) for value in stored] != _TYPES:
        return None
    values = dict(zip(_FIELDS, stored, strict=True))
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = {int(index): count for index, count in value.items()}
    return Slot(**values)
