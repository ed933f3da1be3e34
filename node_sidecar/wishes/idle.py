"""Whether the machine is idle, so that it may serve others: by its CPU and GPU use, with hysteresis.

What the gateway's requests use cannot be told from what the owner uses. So only samples without any request in
flight count; where there were none for `recheck` seconds, the node turns others away until it has measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: Seconds above the threshold after which the machine counts as busy.
BUSY_AFTER = 10.0
#: Idle again below this part of the threshold.
_FALL = 0.75
#: Seconds below it that a measurement takes.
_MEASURE = 4.0


@dataclass(frozen=True, slots=True)
class IdleRule:
    """Percent of all CPUs and of the busiest GPU, None for what does not matter. Times in seconds."""

    cpu: float | None = 20.0
    gpu: float | None = 10.0
    after: float = 300.0
    recheck: float = 600.0


@dataclass(frozen=True, slots=True)
class Use:
    """One sample, percent; None where it cannot be had. `in_flight` are the gateway's requests on this node."""

    cpu: float | None
    gpu: float | None
    in_flight: int


class State(Enum):
    IDLE = "idle"
    BUSY = "busy"
    MEASURING = "measuring"


class IdleWatch:
    """Takes a sample every few seconds. Begins busy: `after` must pass first."""

    def __init__(self, rule: IdleRule, now: float) -> None:
        self._rule = rule
        self.state = State.BUSY
        self._low_since: float | None = None
        self._high_since: float | None = None
        self._measured = now
        self._alone = False

    def sample(self, now: float, use: Use) -> State:
        """`now` in seconds, monotonic."""
        # The sample is an average since the last one: alone then and now, or it is not the owner's use.
        alone, self._alone = self._alone, use.in_flight == 0
        if use.in_flight == 0 and alone:
            self._measure(now, use)
        else:
            self._low_since = self._high_since = None
            if self.state is State.IDLE and now - self._measured >= self._rule.recheck:
                self.state = State.MEASURING
        return self.state

    def _measure(self, now: float, use: Use) -> None:
        self._measured = now
        high, low = self._above(use, 1.0), not self._above(use, _FALL)
        self._high_since = (now if self._high_since is None else self._high_since) if high else None
        self._low_since = (now if self._low_since is None else self._low_since) if low else None
        if self.state is not State.BUSY and self._high_since is not None and now - self._high_since >= BUSY_AFTER:
            self.state = State.BUSY
        needed = {State.BUSY: self._rule.after, State.MEASURING: _MEASURE, State.IDLE: 0.0}[self.state]
        if self._low_since is not None and now - self._low_since >= needed:
            self.state = State.IDLE

    def _above(self, use: Use, part: float) -> bool:
        pairs = ((use.cpu, self._rule.cpu), (use.gpu, self._rule.gpu))
        return any(value is not None and limit is not None and value > limit * part for value, limit in pairs)
