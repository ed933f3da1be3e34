"""Stores raw records in blocks: each batch has one row for every hour in which its requests began.

Each record also has a row of its own: its start and id, and the block that has the rest. These rows
show whether a record was stored before, and give records their order. They arrive nearly in the order in which
they are stored, so a batch touches few pages of the database; with a key of ids alone every record would touch a
page of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from xds_server.ledger.connection import LedgerTransaction
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage import records
from xds_server.usage.records import HOUR_US, Columns

#: The orders for finding the heaviest requests. A block's row has the highest value of each, so that few blocks
#: are opened.
ORDERS = ("cost_nano_usd", "tokens", "duration_us")

#: The format of `encode`. Format 1 named none, had every column, and counted money in micro-USD. Up to format 2,
#: failed attempts had no credential.
FORMAT = 4
#: Columns with their types.
_REQUEST = {"started_at_us": "bigint", "id": "text", "block": "bigint"}
_BLOCK = {"id": "bigint", "hour": "integer", **dict.fromkeys(ORDERS, "bigint"), "data": "bytea"}
#: The fastest level: the others take up to four times as long, and save a twentieth.
_LEVEL = 1


def append(writing: LedgerTransaction, batch: Columns) -> tuple[Columns, dict[int, int]]:
    """Stores the records of `batch` that are new. Returns them, and the block of each hour."""
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
    return batch, blocks


def opened(snapshot: DatabaseSnapshot, block: int) -> Columns:
    """Returns the content of a block, which must exist."""
    ((data,),) = snapshot.rows("SELECT data FROM usage_block WHERE id = ?", block)
    return decode(data)


class Written:
    """A block as it is stored: JSON, some of which can be read without the rest. To read all of it takes four
    times as long.
    """

    def __init__(self, data: bytes) -> None:
        self._text = zlib.decompress(data)

    @property
    def decoded(self) -> Columns:
        """Returns every column."""
        return _decoded(self._text)

    def has(self, texts: Iterable[bytes]) -> bool:
        """Returns whether all of these JSON texts occur."""
        return all(each in self._text for each in texts)

    def has_no(self, *columns: str) -> bool:
        """Returns whether these columns are all empty."""
        return not any(_begin(each) in self._text for each in columns)

    @property
    def statuses(self) -> Sequence[int]:
        """Returns this column alone; [0] if no request has a status."""
        _, found, rest = self._text.partition(_begin("status"))
        column: list[int] = orjson.loads(b"[" + rest[: rest.index(b"]") + 1]) if found else [0]
        return column


def written(snapshot: DatabaseSnapshot, block: int) -> Written:
    """Returns a block, which must exist."""
    ((data,),) = snapshot.rows("SELECT data FROM usage_block WHERE id = ?", block)
    return Written(data)


def _begin(column: str) -> bytes:
    """Returns how a column begins. Within texts, quotes are escaped: there is one such place."""
    return b'"%b":[' % column.encode()


def order(of: Columns, by: str) -> Sequence[int]:
    """Returns the values that order a block's requests; `by` is one of ORDERS."""
    return records.tokens(of) if by == "tokens" else of[by]


def encode(block: Columns) -> bytes:
    """Encodes a block for storage: compressed JSON, which names its columns. A column of empty values is left
    out.
    """
    filled = {name: column for name, column in block.items() if any(column)}
    return zlib.compress(orjson.dumps({"format": FORMAT, **filled}), _LEVEL)


def decode(data: bytes) -> Columns:
    """Decodes the output of `encode`, including that of earlier versions, into every current column."""
    return _decoded(zlib.decompress(data))


def _decoded(text: bytes) -> Columns:
    found: dict[str, Any] = orjson.loads(text)
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
    """Returns which of `keys` are in a block after `last`; of duplicates, the first."""
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
