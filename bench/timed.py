"""Samples of a duration, compared with a goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Timed:
    """Times in milliseconds. `goal` bounds the worst; `failed` of `requests` had no complete 200 (goal: 0)."""

    group: str
    name: str
    samples: int
    p50: float
    p99: float
    worst: float
    goal: float | None
    requests: int = 0
    failed: int = 0

    @classmethod
    def of(
        cls,
        group: str,
        name: str,
        seconds: Sequence[float],
        goal_seconds: float | None,
        *,
        requests: int = 0,
        failed: int = 0,
    ) -> Self:
        """Makes the figures from samples in seconds, at least one."""
        ordered = sorted(each * 1000 for each in seconds)
        return cls(
            group=group,
            name=name,
            samples=len(ordered),
            p50=_quantile(ordered, 0.5),
            p99=_quantile(ordered, 0.99),
            worst=ordered[-1],
            goal=None if goal_seconds is None else goal_seconds * 1000,
            requests=requests,
            failed=failed,
        )

    @property
    def met(self) -> bool:
        return not self.failed and (self.goal is None or self.worst <= self.goal)


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    """Returns the percentile by nearest rank: always a sample, never a value between two."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]
