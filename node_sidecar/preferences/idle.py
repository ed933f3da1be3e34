"""Decides whether the machine's owner leaves it idle, so that it may serve others, by a moving average of the
owner's use.

The use of the local servers is separated from the owner's if the system and the driver allow it
(`node_sidecar.use`); the node then never has to stop serving for a measurement. If only the total of a GPU can be
read, samples count only while no request runs. After `recheck` seconds without such a sample, the node asks the
gateway for time to measure, during which it gets no new requests (docs/node.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import exp

from node_sidecar.use.owner import OwnerUse

#: Seconds over which use is averaged. With a limit of 20 %, an owner who uses half of the machine is noticed after
#: 5 s, one who uses 30 % after 11 s.
AVERAGED = 10.0
#: A sample counts for at most this many times its limit, so that a moment of full use does not close the node.
_MOST = 4.0
#: The load that too little free memory counts as, in multiples of a limit: noticed after 7 s.
_SHORT_OF_MEMORY = 2.0
#: Idle again below this part of the limit.
_FALL = 0.75
#: Seconds without a reading after which the rule cannot be checked.
UNREADABLE_AFTER = 10.0
#: Seconds without requests that a measurement needs, and the maximum that the node waits for them.
_MEASURE = 4.0
MEASURE_AT_MOST = 30.0


@dataclass(frozen=True, slots=True)
class IdleRule:
    """Limits in percent of all CPUs and of the busiest GPU, and in free bytes of the fullest GPU; None: no limit.

    Times in seconds. The machine is idle once its owner has left it idle for `after`. `recheck` is the maximum age
    of a measurement if the owner's use of a GPU cannot be separated.
    """

    cpu: float | None = 20.0
    gpu: float | None = 10.0
    gpu_memory_free: int | None = None
    after: float = 300.0
    recheck: float = 600.0


class IdleState(Enum):
    """`UNREADABLE`: a value that the rule needs cannot be read. `MEASURING`: idle so far, and being measured."""

    IDLE = "idle"
    BUSY = "busy"
    MEASURING = "measuring"
    UNREADABLE = "unreadable"


class _Average:
    """A moving average of use as a multiple of its limit: 1 is the limit."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, load: float, seconds: float) -> None:
        self.value += (1 - exp(-seconds / AVERAGED)) * (min(load, _MOST) - self.value)


class IdleWatch:
    """Applies the idle rule to a sample every few seconds. It begins in state BUSY: `after` must pass first."""

    def __init__(self, rule: IdleRule, now: float) -> None:
        self._rule = rule
        self.state = IdleState.BUSY
        self._averages = {name: _Average() for name in ("cpu", "gpu", "gpu_memory_free")}
        self._at = now
        self._low_since: float | None = None
        self._readable_at = now
        self._due_at = now + rule.recheck
        self._alone = False
        self._measuring: _Measurement | None = None
        self._separate = True

    @property
    def wants_measurement(self) -> bool:
        """True if the owner's use of a GPU has not been measured for `recheck` seconds, because requests ran all
        the time.
        """
        return self.state is IdleState.IDLE and not self._separate and self._at >= self._due_at

    def measure(self, now: float) -> None:
        """Begins a measurement, which the gateway has granted: it sends no new requests until there is a
        result.
        """
        if self.wants_measurement:
            self.state = IdleState.MEASURING
            self._measuring = _Measurement(now + MEASURE_AT_MOST)
            self._averages["gpu"].value = 0.0

    def sample(self, now: float, use: OwnerUse) -> IdleState:
        """Takes a sample at `now` (seconds, monotonic) and returns the new state."""
        seconds, self._at = min(max(0.0, now - self._at), 2 * AVERAGED), now
        # A sample is an average since the last one. It excludes requests only if none runs now and none ran then.
        alone, self._alone = self._alone and use.in_flight == 0, use.in_flight == 0
        self._separate = use.separate or self._rule.gpu is None
        self._add("cpu", use.cpu, self._rule.cpu, seconds)
        if self._separate or alone:
            self._due_at = now + self._rule.recheck
            self._add("gpu", use.gpu, self._rule.gpu, seconds)
        self._add_memory(use.gpu_memory_free, seconds)
        if self._readable(use):
            self._readable_at = now
        self.state = self._next(now, seconds if alone else 0.0)
        return self.state

    def _add(self, name: str, value: float | None, limit: float | None, seconds: float) -> None:
        if value is not None and limit is not None:
            self._averages[name].add(value / limit, seconds)

    def _add_memory(self, free: int | None, seconds: float) -> None:
        wanted = self._rule.gpu_memory_free
        if free is not None and wanted is not None:
            self._averages["gpu_memory_free"].add(0.0 if free >= wanted else _SHORT_OF_MEMORY, seconds)

    def _readable(self, use: OwnerUse) -> bool:
        pairs = (
            (self._rule.cpu, use.cpu),
            (self._rule.gpu, use.gpu),
            (self._rule.gpu_memory_free, use.gpu_memory_free),
        )
        return all(limit is None or value is not None for limit, value in pairs)

    def _next(self, now: float, alone_for: float) -> IdleState:
        highest = self._highest
        self._low_since = (now if self._low_since is None else self._low_since) if highest <= _FALL else None
        if now - self._readable_at >= UNREADABLE_AFTER:
            self._low_since = None
            return IdleState.UNREADABLE
        if self.state is IdleState.MEASURING and self._measuring is not None:
            return self._measured(self._measuring, now, alone_for)
        if self.state is IdleState.IDLE:
            return IdleState.BUSY if highest > 1 else IdleState.IDLE
        idle = self._low_since is not None and now - self._low_since >= self._rule.after
        return IdleState.IDLE if idle else IdleState.BUSY

    def _measured(self, measuring: _Measurement, now: float, alone_for: float) -> IdleState:
        measuring.alone += alone_for
        if measuring.alone >= _MEASURE:
            self._averages["gpu"].value /= 1 - exp(-measuring.alone / AVERAGED)  # it began at 0
            return IdleState.BUSY if self._highest > 1 else IdleState.IDLE
        if now >= measuring.until:
            # Requests kept running: the node asks again after another `recheck`, and continues as before until
            # then.
            self._due_at = now + self._rule.recheck
            return IdleState.IDLE
        return IdleState.MEASURING

    @property
    def _highest(self) -> float:
        return max(each.value for each in self._averages.values())


@dataclass(slots=True)
class _Measurement:
    """`until`: monotonic seconds; `alone`: seconds of the measurement in which no request ran."""

    until: float
    alone: float = 0.0
