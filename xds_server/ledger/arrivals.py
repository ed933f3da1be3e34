"""Records when usage records last arrived from each translator, and how late they were."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from trunkline_proto.ledger.v1 import ledger_pb2 as pb

#: Sources that are remembered; the one that was silent for the longest time is forgotten first.
_MAX_SOURCES = 1_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """The last arrival of a source. `at` is Unix seconds. `lag` is how many seconds before that the newest request
    had ended.
    """

    at: float
    lag: float


class Arrivals:
    """The arrivals since the control plane started. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last: dict[str, Arrival] = {}

    def note(self, request: pb.AppendRequest) -> None:
        """Records an arrival. Translators send records in the order in which requests ended."""
        packed = request.packed
        if packed.id:
            ended_us = packed.started_at_us[-1] + (packed.duration_us[-1] if packed.duration_us else 0)
        elif request.records:
            ended_us = request.records[-1].started_at_us + request.records[-1].duration_us
        else:
            return
        now = self._clock()
        self._last.pop(request.source, None)
        self._last[request.source] = Arrival(now, max(0.0, now - ended_us / 1e6))
        if len(self._last) > _MAX_SOURCES:
            del self._last[next(iter(self._last))]

    def by_source(self) -> list[tuple[str, Arrival]]:
        """Returns the last arrival of each source, by its name."""
        return sorted(self._last.items())
