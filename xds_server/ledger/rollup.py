"""Sums records per hour and series: what a batch adds to the roll-ups. No I/O."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from trunkline_proto.admin.v1 import admin_pb2 as admin

from xds_server.usage import histogram
from xds_server.usage.records import HOUR_US, Columns, is_broken

#: Distinct tags of one organisation in one hour; further ones are summed as OTHER.
MAX_TAGS = 1_000
OTHER = "(other)"


class Series(NamedTuple):
    """The dimensions of a roll-up other than time."""

    organisation_id: str
    key_id: str
    route_id: str
    model: str
    target_id: str
    provider: str
    tag: str

    @lru_cache(10_000)  # noqa: B019 - of values, which are small and for the most part the same ones again
    def digest(self) -> bytes:
        """Returns 16 bytes that identify the series."""
        return self._hash(b"")

    @property
    def group(self) -> Series:
        """Returns the dimensions that several series share in the sums by day: organisation and model."""
        return Series(self.organisation_id, "", "", self.model, "", "", "")

    def group_digest(self) -> bytes:
        """Returns what identifies a group: never the digest of a series."""
        return self._hash(b"group")

    def _hash(self, kind: bytes) -> bytes:
        parts = [each.encode() for each in self]
        lengths = ",".join(str(len(part)) for part in parts)
        joined = b"\x00".join([lengths.encode(), *parts])
        return hashlib.blake2b(joined, digest_size=16, person=kind).digest()


class Hour(NamedTuple):
    """A series in one hour. `hour` is hours since 1970."""

    hour: int
    series: Series


#: A report's fields other than its dimensions, without those that are another sum in another unit.
_REPORTED = [each for each in admin.UsageRow.DESCRIPTOR.fields if each.name not in {"values", "cost_micro_usd"}]
#: Sums to which most requests add nothing; each has rows of its own. `capped` counts requests.
UNITS = tuple(each.name for each in _REPORTED if each.number >= admin.UsageRow.CAPPED_FIELD_NUMBER)
#: The columns of usage_hour that are sums: all others that a report has, and those by which targets are compared.
SUMS = (
    *(each.name for each in _REPORTED if each.name not in UNITS),
    "failed_attempts",
    "answer_tokens",
    "answer_us",
)
_NONE: Mapping[str, int] = {}
_TAG = Series._fields.index("tag")
#: The sums that a failed attempt adds at its target; it has no time to the first byte.
_FAILED = (*(name == "failed_attempts" for name in SUMS), 0)


class Totals(NamedTuple):
    """`sums` are in the order of SUMS, `first_bytes` is a histogram of microseconds; `units` has those of UNITS
    that are not zero.
    """

    sums: list[int]
    first_bytes: Mapping[int, int]
    units: Mapping[str, int]


def roll_up(batch: Columns, tags: Mapping[tuple[int, str], Collection[str]]) -> dict[Hour, Totals]:
    """Returns the sums of a batch. `tags` are those that an hour (of an organisation, by id) may have, in addition
    to no tag.
    """
    hours = [at // HOUR_US for at in batch["started_at_us"]]
    dimensions = [batch[name] for name in Series._fields]
    if any(batch["tag"]):
        dimensions[_TAG] = [
            tag if not tag or tag in tags[hour, organisation] else OTHER
            for hour, organisation, tag in zip(hours, batch["organisation_id"], batch["tag"], strict=True)
        ]
    keys = list(zip(hours, *dimensions, strict=True))
    found: defaultdict[tuple[Any, ...], list[tuple[int, ...]]] = defaultdict(list)
    for key, values in zip(keys, zip(*_values(batch), batch["first_byte_us"], strict=True), strict=True):
        found[key].append(values)
    for key, attempts in zip(keys, batch["failed_attempts"], strict=True):
        for target, *_ in attempts:
            hour, *series = key
            # Charged to the target that failed, not to the one that saved the request.
            there = Series(*series)._replace(target_id=target, provider=target.partition("/")[0])
            found[hour, *there].append(_FAILED)
    units = _units(batch, keys)
    return {
        Hour(hour, Series(*series)): _totals(values, units.get((hour, *series), _NONE) if units else _NONE)
        for (hour, *series), values in found.items()
    }


def errors(batch: Columns) -> list[bool]:
    """Marks requests that were refused, failed, or broke off after the first byte. Envoy's end cut the request of
    an expired record.
    """
    if max(batch["status"]) < 400 and not any(batch["expired"]) and not any(batch["response_flags"]):
        return [False] * len(batch["status"])
    return [
        status >= 400 or expired or bool(flags and is_broken(flags))
        for status, expired, flags in zip(batch["status"], batch["expired"], batch["response_flags"], strict=True)
    ]


def _units(batch: Columns, keys: Sequence[tuple[Any, ...]]) -> Mapping[tuple[Any, ...], Mapping[str, int]]:
    found: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for name in UNITS:
        if any(batch[name]):
            for key, amount in zip(keys, batch[name], strict=True):
                if amount:
                    found[key][name] += amount
    return found


def _totals(values: Iterable[tuple[int, ...]], units: Mapping[str, int]) -> Totals:
    *sums, first_bytes = zip(*values, strict=True)
    return Totals(list(map(sum, sums)), histogram.count(first_bytes), units)


def _values(batch: Columns) -> list[Sequence[int]]:
    """Returns the columns in the order of SUMS."""
    answer_tokens, answer_us = _answers(batch)
    number = len(batch["id"])
    attempts = batch["attempts"]
    computed: Columns = {
        "requests": [1] * number,
        "errors": errors(batch),
        "retries": [each - 1 if each else 0 for each in attempts] if max(attempts) > 1 else [0] * number,
        "estimated": batch["estimated"],
        "cache_hits": batch["cache_hit"],
        "failed_attempts": [0] * number,
        "answer_tokens": answer_tokens,
        "answer_us": answer_us,
    }
    return [computed[name] if name in computed else batch[name] for name in SUMS]


def _answers(batch: Columns) -> tuple[list[int], list[int]]:
    """Returns completion tokens and the microseconds of generating them; zeros if there is no such speed.

    A stream is generated from its first byte on. A plain answer arrives whole, so its time is that of the request.
    """
    tokens, first_bytes, durations = batch["completion_tokens"], batch["first_byte_us"], batch["duration_us"]
    exceptions = batch["stream"], batch["cache_hit"], batch["expired"]
    if all(tokens) and all(first_bytes) and all(durations) and not any(map(any, exceptions)):
        return list(tokens), list(durations)
    names = ("completion_tokens", "first_byte_us", "duration_us", "stream", "cache_hit", "expired")
    taken = [
        max(0, duration - first_byte if stream else duration)
        if tokens and first_byte and not cache_hit and not expired
        else 0
        for tokens, first_byte, duration, stream, cache_hit, expired in zip(
            *(batch[name] for name in names), strict=True
        )
    ]
    return [tokens if us else 0 for tokens, us in zip(batch["completion_tokens"], taken, strict=True)], taken
