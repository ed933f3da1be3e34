"""Holds what translators report that limits have counted. In memory only: they report it again after a restart."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from trunkline_proto.limits.v1 import limits_pb2 as pb
from trunkline_proto.policy.v1 import policy_pb2 as policy

#: Seconds after which a silent translator no longer counts.
_SILENT = 60.0

#: The kind of the limit's holder, the holder's id, and the limit without its amount.
LimitKey = tuple[int, str, bytes]


class LimitCount(NamedTuple):
    """The amount that a limit has counted, and for how many values separately."""

    taken: int
    values: int


class LimitCounts:
    """The counts by translator. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, dict[LimitKey, LimitCount]] = {}
        self._heard: dict[str, float] = {}
        self._epochs: dict[str, str] = {}

    def report(self, source: str, standings: Iterable[pb.Standing]) -> str:
        """Takes changed counts. Returns the epoch, which changes when the translator was forgotten."""
        self._forget()
        held = self._of.setdefault(source, {})
        for each in standings:
            key = _key(each.holder, each.holder_id, each.limit)
            if each.taken or each.values:
                held[key] = LimitCount(each.taken, each.values)
            else:
                held.pop(key, None)
        self._heard[source] = self._clock()
        return self._epochs.setdefault(source, secrets.token_hex(8))

    def of(self, holder: int, holder_id: str, limit: policy.Limit) -> LimitCount | None:
        """Returns the largest of the translators' counts; None if nothing is counted."""
        self._forget()
        key = _key(holder, holder_id, limit)
        return max((held[key] for held in self._of.values() if key in held), default=None)

    def _forget(self) -> None:
        silent = self._clock() - _SILENT
        for source in [source for source, heard in self._heard.items() if heard < silent]:
            del self._heard[source], self._of[source], self._epochs[source]


def _key(holder: int, holder_id: str, limit: policy.Limit) -> LimitKey:
    named = policy.Limit(
        metric=limit.metric,
        per_seconds=limit.per_seconds,
        calendar=limit.calendar,
        time_zone=limit.time_zone,
        model=limit.model,
        each=limit.each,
    )
    return holder, holder_id, named.SerializeToString(deterministic=True)
