"""Times as counts on a log scale: they can be added across any grouping, and give percentiles.

Neighbouring bounds differ by `RATIO`, so a percentile is at most `ERROR` away from a time that was really counted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from itertools import chain

RATIO = 1.1
#: Relative error of every percentile: half a bucket.
ERROR = (RATIO - 1) / (RATIO + 1)

_LOG_RATIO = math.log(RATIO)
#: Bucket and count; only buckets that hold something.
_PAIR = struct.Struct("<HI")


def bucket(value: int) -> int:
    """Returns the bucket of `value`, a whole number of at least 1: RATIO**(bucket - 1) < value <=
    RATIO**bucket.
    """
    return math.ceil(math.log(value) / _LOG_RATIO)


def count(values: Iterable[int]) -> dict[int, int]:
    """Returns how many of `values` each bucket holds; zeros are not counted."""
    counts: dict[int, int] = {}
    for index in map(bucket, filter(None, values)):
        counts[index] = counts.get(index, 0) + 1
    return counts


def add(counts: dict[int, int], more: Iterable[tuple[int, int]]) -> None:
    """Adds pairs of a bucket and a count to `counts`."""
    for index, number in more:
        counts[index] = counts.get(index, 0) + number


def middle(index: int) -> float:
    """Returns the value that is at most `ERROR` away from everything in the bucket."""
    return 2 * RATIO**index / (RATIO + 1)


def encode(counts: Mapping[int, int]) -> bytes:
    """Encodes counts for storage: six bytes for each bucket that holds something."""
    return struct.pack("<" + "HI" * len(counts), *chain.from_iterable(counts.items()))


def added(encoded: bytes, counts: Mapping[int, int]) -> bytes:
    """Adds `counts` to an encoded histogram."""
    found = dict(_PAIR.iter_unpack(encoded))
    add(found, counts.items())
    return encode(found)


def merge(encoded: Iterable[bytes]) -> dict[int, int]:
    """Returns the sum of several encoded histograms."""
    counts: dict[int, int] = {}
    add(counts, _PAIR.iter_unpack(b"".join(encoded)))
    return counts


def quantile(counts: Mapping[int, int], share: float) -> int:
    """Returns the bucket of the value that `share` (0 to 1) of the counted ones do not exceed; `counts` must not
    be empty.
    """
    rank = max(1, math.ceil(share * sum(counts.values())))
    for index in sorted(counts):
        rank -= counts[index]
        if rank <= 0:
            return index
    raise ValueError("nothing is counted")


def percentile(counts: Mapping[int, int], share: float) -> int:
    """Returns the value that `share` (0 to 1) of the counted ones do not exceed; 0 if nothing was counted."""
    return round(middle(quantile(counts, share))) if counts else 0
