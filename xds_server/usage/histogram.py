"""Times as counts on a log scale: they add up, whatever they were grouped by, and give percentiles.

Neighbouring bounds differ by `RATIO`, so a percentile is at most `ERROR` away from a time that was really counted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from itertools import chain

RATIO = 1.1
#: Relative, of every percentile: half a bucket.
ERROR = (RATIO - 1) / (RATIO + 1)

_LOG_RATIO = math.log(RATIO)
#: bucket, count; only buckets that hold something.
_PAIR = struct.Struct("<HI")


def bucket(value: int) -> int:
    """The bucket of `value`, a whole number from 1 up: that with RATIO**(bucket - 1) < value <= RATIO**bucket."""
    return math.ceil(math.log(value) / _LOG_RATIO)


def count(values: Iterable[int]) -> dict[int, int]:
    """How many of `values` each bucket holds; zeros are not counted."""
    counts: dict[int, int] = {}
    for index in map(bucket, filter(None, values)):
        counts[index] = counts.get(index, 0) + 1
    return counts


def add(counts: dict[int, int], more: Iterable[tuple[int, int]]) -> None:
    """Adds pairs of a bucket and a count to `counts`."""
    for index, number in more:
        counts[index] = counts.get(index, 0) + number


def middle(index: int) -> float:
    """The value that is at most `ERROR` away from everything in the bucket."""
    return 2 * RATIO**index / (RATIO + 1)


def encode(counts: Mapping[int, int]) -> bytes:
    """As stored: six bytes for each bucket that holds something."""
    return struct.pack("<" + "HI" * len(counts), *chain.from_iterable(counts.items()))


def added(encoded: bytes, counts: Mapping[int, int]) -> bytes:
    """`counts` on top of what was stored."""
    found = dict(_PAIR.iter_unpack(encoded))
    add(found, counts.items())
    return encode(found)


def merge(encoded: Iterable[bytes]) -> dict[int, int]:
    """The sum of several."""
    counts: dict[int, int] = {}
    add(counts, _PAIR.iter_unpack(b"".join(encoded)))
    return counts


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The bucket of the value that `share` (0 to 1) of those counted do not exceed; something must be counted."""
    rank = max(1, math.ceil(share * sum(counts.values())))
    for index in sorted(counts):
        rank -= counts[index]
        if rank <= 0:
            return index
    raise ValueError("nothing is counted")


def percentile(counts: Mapping[int, int], share: float) -> int:
    """The value that `share` (0 to 1) of those counted do not exceed; 0 if nothing was counted."""
    return round(middle(quantile(counts, share))) if counts else 0
