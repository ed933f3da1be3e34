"""Computes current medians and shares: over a window of the past that ends where the past was different.

A fixed window is either too short for a quiet route or too long for one that changes. This window grows backwards
from now, and stops at the first stretch of time that does not fit what came after it. Medians are used because one
request that took ten minutes must not outweigh a thousand others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from xds_server.usage import histogram

#: Slots of the past that count.
KEPT_SLOTS = 256
#: Fewer samples than these are not compared with older ones.
MIN_SAMPLES = 5
#: Growth of the window between two comparisons: each comparison can go wrong, so there should not be too many.
_GROWTH = 1.25
#: The window is compared with this many times as many samples before it, because a few stand out only against
#: many; but never with more than this number, which is enough.
_BEFORE, _ENOUGH = 4, 400
#: Standard deviations of the rank sum by which a stretch must differ to count as another state.
_DISTINCT = 3.8
#: In addition, at least this many buckets of the histogram, of a tenth each, must lie between the medians.
_APART = 2
#: The least difference between two shares that counts.
_SHARES_APART = 0.1
_ONE_SIGMA = 0.6745  # half of the middle half of a normal distribution, in standard deviations


class Median(NamedTuple):
    """A median in the unit of the samples. `error` is the relative standard error, infinite without samples."""

    value: float
    samples: int
    error: float


UNKNOWN = Median(0.0, 0, math.inf)


class TokenCounts(NamedTuple):
    """A group of requests: their number, their tokens, and how many of these tokens are of the counted kind."""

    requests: int
    tokens: int
    found: int


class TokenShare(NamedTuple):
    """A share of tokens, 0 to 1, and its standard error."""

    value: float
    error: float


def token_share(history: Iterable[TokenCounts]) -> TokenShare | None:
    """Returns the current share of the counted tokens, given each slot's part, newest first; None without
    tokens.
    """
    # A record of another version may claim more tokens of a kind than there are.
    known = (slot for slot in history if slot.requests and slot.tokens)
    slots = [slot._replace(found=min(slot.found, slot.tokens)) for slot in known]
    current, compared = TokenCounts(0, 0, 0), MIN_SAMPLES
    for at, slot in enumerate(slots):
        if current.requests >= compared:
            if _is_another_share(current, _parts_before(slots, at, min(_BEFORE * current.requests, _ENOUGH))):
                break
            compared = math.ceil(current.requests * _GROWTH)
        current = _added(current, slot)
    if not current.tokens:
        return None
    share = current.found / current.tokens
    return TokenShare(share, math.sqrt(share * (1 - share) / current.requests))


def _parts_before(slots: Sequence[TokenCounts], at: int, wanted: int) -> TokenCounts:
    """Returns the sum of the slots from `at` on that hold this many requests."""
    found = TokenCounts(0, 0, 0)
    while at < len(slots) and found.requests < wanted:
        found = _added(found, slots[at])
        at += 1
    return found


def _added(one: TokenCounts, other: TokenCounts) -> TokenCounts:
    return TokenCounts(one.requests + other.requests, one.tokens + other.tokens, one.found + other.found)


def _is_another_share(newer: TokenCounts, older: TokenCounts) -> bool:
    """Returns whether two shares differ, by the test of two proportions. Requests are counted instead of tokens:
    in a single request, nearly all tokens are of the kind or none.
    """
    apart = abs(newer.found / newer.tokens - older.found / older.tokens)
    pooled = (newer.found + older.found) / (newer.tokens + older.tokens)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / newer.requests + 1 / older.requests))
    return apart >= _SHARES_APART and apart > _DISTINCT * deviation


def median_now(history: Iterable[Mapping[int, int]]) -> Median:
    """Returns the current median of samples, given as a histogram of each slot, newest first; UNKNOWN without
    samples.
    """
    slots = [slot for slot in history if slot]
    sizes = [sum(slot.values()) for slot in slots]
    current: dict[int, int] = {}
    number, compared = 0, MIN_SAMPLES
    for at, (slot, size) in enumerate(zip(slots, sizes, strict=True)):
        if number >= compared:
            if _is_distinct(current, number, *_before(slots, sizes, at, min(_BEFORE * number, _ENOUGH))):
                break
            compared = math.ceil(number * _GROWTH)
        histogram.add(current, slot.items())
        number += size
    return median(current)


def _before(
    slots: Sequence[Mapping[int, int]], sizes: Sequence[int], at: int, wanted: int
) -> tuple[dict[int, int], int]:
    """Returns the sum of the slots from `at` on that hold this many samples, and the number of samples."""
    counts: dict[int, int] = {}
    number = 0
    while at < len(slots) and number < wanted:
        histogram.add(counts, slots[at].items())
        number += sizes[at]
        at += 1
    return counts, number


def _is_distinct(newer: Mapping[int, int], newer_number: int, older: Mapping[int, int], older_number: int) -> bool:
    """Returns whether the older samples come from another distribution: the rank-sum test of Mann and Whitney."""
    apart = histogram.quantile(older, 0.5) - histogram.quantile(newer, 0.5)
    if abs(apart) < _APART:
        return False
    below, larger = 0, 0.0  # newer samples so far, and pairs in which the older sample is the larger
    for index in sorted(newer.keys() | older.keys()):
        equal = newer.get(index, 0)
        larger += older.get(index, 0) * (below + equal / 2)
        below += equal
    pairs = newer_number * older_number
    deviation = math.sqrt(pairs * (newer_number + older_number + 1) / 12)
    return abs(larger - pairs / 2) > _DISTINCT * deviation


def median(counts: Mapping[int, int]) -> Median:
    """Returns the median of a histogram; UNKNOWN without samples."""
    number = sum(counts.values())
    if not number:
        return UNKNOWN
    quarter, middle, three_quarters = (histogram.quantile(counts, share) for share in (0.25, 0.5, 0.75))
    spread = max(three_quarters - quarter, 1) * math.log(histogram.RATIO) / (2 * _ONE_SIGMA)
    # The standard error of a median is sqrt(pi / 2) times that of a mean.
    return Median(histogram.middle(middle), number, math.sqrt(math.pi / 2 / number) * spread)
