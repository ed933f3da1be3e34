"""Reads the records of a time range for rules that look at all of them, or at a sample if there are many.

Blocks are read in an order that has nothing to do with time, load or sender. The first ones are therefore a fair
sample, and the same whenever they are read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from xds_server.ledger import blocks
from xds_server.ledger.query import Filter
from xds_server.store.connection import DatabaseSnapshot
from xds_server.usage.records import Columns

#: Blocks that are chosen of any time range. Reading ends after this many records, or seconds.
MAX_BLOCKS = 20_000
MAX_RECORDS = 200_000
_SECONDS = 10.0
#: Blocks of one step: other reports are served between two steps.
STEP = 100

#: Knuth's multiplicative hash, of as many bits of an id as fit a signed 64-bit product.
_ID_BITS, _FACTOR, _HASH_BITS = (1 << 31) - 1, 2_654_435_761, (1 << 32) - 1


class ChosenBlocks(NamedTuple):
    """Ids of blocks in the order in which to read them; `total` is how many blocks there are."""

    blocks: Sequence[int]
    total: int


class Coverage(NamedTuple):
    """The size of a sample: the records, and the blocks read out of those that exist."""

    records: int
    blocks: int
    total: int

    @property
    def factor(self) -> float:
        """Returns the ratio of a sum over all records to the sum over those that were read."""
        return self.total / self.blocks if self.blocks else 1.0


def choose(snapshot: DatabaseSnapshot, wanted: Filter) -> ChosenBlocks:
    """Chooses the blocks of the hours of `wanted`, at most about MAX_BLOCKS."""
    hours = (wanted.first_hour, wanted.last_hour)
    ((total,),) = snapshot.rows("SELECT COUNT(*) FROM usage_block WHERE hour BETWEEN ? AND ?", *hours)
    if total <= MAX_BLOCKS:
        rows = snapshot.rows("SELECT id FROM usage_block WHERE hour BETWEEN ? AND ?", *hours)
    else:
        rows = snapshot.rows(
            "SELECT id FROM usage_block WHERE hour BETWEEN ? AND ? AND (((id & ?) * ?) & ?) < ?",
            *hours,
            _ID_BITS,
            _FACTOR,
            _HASH_BITS,
            _HASH_BITS * MAX_BLOCKS // total,
        )
    return ChosenBlocks(sorted((id_ for (id_,) in rows), key=lambda id_: (_hash(id_), id_)), int(total))


class Reading:
    """The progress of reading chosen blocks, which are passed to `take`."""

    def __init__(
        self,
        chosen: ChosenBlocks,
        take: Callable[[Columns], None],
        *,
        most_records: int = MAX_RECORDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = list(reversed(chosen.blocks))
        self._total = chosen.total
        self._take = take
        self._most_records = most_records
        self._clock = clock
        self._deadline = clock() + _SECONDS
        self._records = self._blocks = 0

    @property
    def is_done(self) -> bool:
        """True if everything is read, or a bound on records or time is reached."""
        return not self._left or self._records >= self._most_records or self._clock() > self._deadline

    @property
    def coverage(self) -> Coverage:
        """What was read so far, of what there is."""
        return Coverage(self._records, self._blocks, self._total)

    def step(self, snapshot: DatabaseSnapshot) -> None:
        """Reads some more blocks. A block that was removed meanwhile counts as empty."""
        ids = [self._left.pop() for _ in range(min(STEP, len(self._left)))]
        for block in _decoded(snapshot, ids):
            self._records += len(block["id"])
            self._take(block)
        self._blocks += len(ids)


def _hash(id_: int) -> int:
    return (id_ & _ID_BITS) * _FACTOR & _HASH_BITS


def _decoded(snapshot: DatabaseSnapshot, ids: Sequence[int]) -> Iterator[Columns]:
    marks = ", ".join("?" * len(ids))
    for (data,) in snapshot.rows(f"SELECT data FROM usage_block WHERE id IN ({marks}) ORDER BY id", *ids):  # noqa: S608
        yield blocks.decode(data)
