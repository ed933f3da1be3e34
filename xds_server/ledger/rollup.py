"""Records summed per hour and series. No I/O: what a batch adds to the roll-ups."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from xds_server.ledger import histogram
from xds_server.ledger.records import Row, failed

#: Distinct tags of one organisation in one hour; those after them are summed as OTHER.
MOST_TAGS = 1_000
OTHER = "(other)"

#: Envoy's flags of an answer that the upstream or a time limit broke off: the status was sent already. `DC` is not
#: among them: a client that leaves is no error of the target's.
_BROKEN = frozenset({"UC", "UT", "UR", "LR", "SI", "UPE", "UMSDR", "DT", "OM", "DPE"})


class Series(NamedTuple):
    """Every dimension of a roll-up but time."""

    organisation_id: str
    key_id: str
    route_id: str
    model: str
    target_id: str
    provider: str
    tag: str

    def digest(self) -> bytes:
        """Identifies it, in 16 bytes."""
        parts = [each.encode() for each in self]
        lengths = ",".join(str(len(part)) for part in parts)
        return hashlib.blake2b(b"\x00".join([lengths.encode(), *parts]), digest_size=16).digest()


class Hour(NamedTuple):
    """`hour` is hours since 1970."""

    hour: int
    series: Series


#: The columns of usage_hour that are sums, in the order of `Totals.sums`.
SUMS = (
    "requests",
    "errors",
    "retries",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_micro_usd",
    "estimated",
    "cache_hits",
    "failed_attempts",
    "answer_tokens",
    "answer_us",
)
_FAILED = SUMS.index("failed_attempts")


@dataclass(slots=True)
class Totals:
    """`first_bytes` is a histogram of microseconds."""

    sums: list[int] = field(default_factory=lambda: [0] * len(SUMS))
    first_bytes: dict[int, int] = field(default_factory=dict)


def roll_up(rows: Iterable[Row], tags: Mapping[tuple[int, str], Collection[str]]) -> dict[Hour, Totals]:
    """The sums of `rows`. `tags` are those that an hour (of an organisation, by id) may have beside none."""
    found: dict[Hour, Totals] = {}
    for row in rows:
        tag = row.tag
        if tag and tag not in tags[row.hour, row.organisation_id]:
            tag = OTHER
        series = Series(row.organisation_id, row.key_id, row.route_id, row.model, row.target_id, row.provider, tag)
        totals = found.setdefault(Hour(row.hour, series), Totals())
        sums = totals.sums
        for index, value in enumerate(_values(row)):
            sums[index] += value
        if row.first_byte_us:
            index = histogram.bucket(row.first_byte_us)
            totals.first_bytes[index] = totals.first_bytes.get(index, 0) + 1
        for target, _, _ in failed(row.failed_attempts):
            # Charged to the target that failed, not to the one that saved the request.
            there = series._replace(target_id=target, provider=target.partition("/")[0])
            found.setdefault(Hour(row.hour, there), Totals()).sums[_FAILED] += 1
    return found


def is_error(row: Row) -> bool:
    """Refused, failed, or broken after the first byte; an expired record's request was cut by Envoy's end."""
    return row.status >= 400 or row.expired or not _BROKEN.isdisjoint(row.response_flags.split(","))


def _values(row: Row) -> tuple[int, ...]:
    answer_tokens, answer_us = _answer(row)
    return (
        1,
        is_error(row),
        max(0, row.attempts - 1),
        row.prompt_tokens,
        row.cached_tokens,
        row.completion_tokens,
        row.reasoning_tokens,
        row.cost_micro_usd,
        row.estimated,
        row.cache_hit,
        0,
        answer_tokens,
        answer_us,
    )


def _answer(row: Row) -> tuple[int, int]:
    """Completion tokens and the microseconds of making them; zeros where there is no such speed.

    A stream is made from its first byte on; a plain answer arrives whole, so its time is all of the request's.
    """
    if row.cache_hit or row.expired or not row.completion_tokens or not row.first_byte_us:
        return 0, 0
    taken = row.duration_us - row.first_byte_us if row.stream else row.duration_us
    return (row.completion_tokens, taken) if taken > 0 else (0, 0)
