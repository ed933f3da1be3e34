"""Raw records, in blocks: of each batch there is one row for every hour in which its requests began.

Beside them lies a row for each record: its start and id, and the block that has the rest. By it a record that
comes again is known, and records are read in order. These rows come nearly in the order in which they lie, so a
batch touches few pages of the database; with a key of ids alone every record would touch a page of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import orjson

from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import records
from xds_server.usage.records import HOUR_US, Columns

#: What the heaviest requests are found by. A block's row has the highest of each, so that few blocks are opened.
ORDERS = ("cost_nano_usd", "tokens", "duration_us")

#: Of `encode`. Format 1 named none, had every column, and counted money in micro-USD. Up to format 2, failed
#: attempts had no credential.
FORMAT = 4
#: Columns with their types.
_REQUEST = {"started_at_us": "bigint", "id": "text", "block": "bigint"}
_BLOCK = {"id": "bigint", "hour": "integer", **dict.fromkeys(ORDERS, "bigint"), "data": "bytea"}
#: The fastest: the others take up to four times as long, and save a twentieth.
_LEVEL = 1


def append(writing: LedgerTransaction, batch: Columns) -> Columns:
    """Stores those records of `batch` that are new, and gives them back."""
    ((last,),) = writing.rows("SELECT COALESCE(MAX(id), 0) FROM usage_block")
    hours = [at // HOUR_US for at in batch["started_at_us"]]
    blocks = {hour: last + number for number, hour in enumerate(sorted(set(hours)), start=1)}
    keys = list(zip(batch["started_at_us"], batch["id"], map(blocks.__getitem__, hours), strict=True))
    if writing.insert("usage_request", _REQUEST, keys, "ON CONFLICT DO NOTHING") < len(keys):
        new = _stored_after(writing, last, keys)
        batch, hours = records.chosen(batch, new), [hours[index] for index in new]
    rows = []
    for hour in set(hours):
        of_hour = [index for index, each in enumerate(hours) if each == hour]
        block = batch if len(of_hour) == len(hours) else records.chosen(batch, of_hour)
        rows.append((blocks[hour], hour, *(max(order(block, each)) for each in ORDERS), encode(block)))
    writing.insert("usage_block", _BLOCK, rows)
    return batch


def opened(snapshot: DatabaseSnapshot, block: int) -> Columns:
    """What a block has; the block is there."""
    ((data,),) = snapshot.rows("SELECT data FROM usage_block WHERE id = ?", block)
    return decode(data)


def order(of: Columns, by: str) -> Sequence[int]:
    """What the requests of a block are ordered by, one of ORDERS."""
    return records.tokens(of) if by == "tokens" else of[by]


def encode(block: Columns) -> bytes:
    """As stored: JSON, which names its columns, compressed. A column in which nothing stands is left out."""
    filled = {name: column for name, column in block.items() if any(column)}
    return zlib.compress(orjson.dumps({"format": FORMAT, **filled}), _LEVEL)


def decode(data: bytes) -> Columns:
    """What `encode` made, also that of an earlier version, with every column of today."""
    found: dict[str, Any] = orjson.loads(zlib.decompress(data))
    written = found.pop("format", 1)
    if written == 1:
        for name in ("cost", "earned"):
            found[f"{name}_nano_usd"] = [amount * records.MICRO for amount in found.pop(f"{name}_micro_usd")]
    if written < FORMAT and "failed_attempts" in found:
        missing = (0,) * (FORMAT - max(written, 2))
        found["failed_attempts"] = [
            [(*each, *missing) for each in attempts] for attempts in found["failed_attempts"]
        ]
    number = len(found["id"])
    return {name: found[name] if name in found else [empty] * number for name, empty in records.EMPTY.items()}


def _stored_after(writing: LedgerTransaction, last: int, keys: Sequence[tuple[int, str, int]]) -> list[int]:
    """Which of `keys` are in a block after `last`; of those that are there twice, the first."""
    starts = {at for at, _, _ in keys}
    found = set(
        writing.rows(
            "SELECT started_at_us, id, block FROM usage_request "  # noqa: S608
            f"WHERE started_at_us IN ({', '.join('?' * len(starts))}) AND block > ?",
            *starts,
            last,
        )
    )
    chosen = []
    for index, key in enumerate(keys):
        if key in found:
            found.remove(key)
            chosen.append(index)
    return chosen
