"""The victim: a steady load, half of it streams, and its results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from bench.neighbours.scene import PACED, PLAIN, Scene
from bench.recorded import RecordedLoad, Request

CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the requests due within a span, in milliseconds."""

    requests: int
    errors: int
    p50: float
    p99: float

    @classmethod
    def of(cls, plain: Sequence[float], errors: int) -> Self:
        """Makes figures from the seconds of served requests, at least one, and the number of failures."""
        ordered = sorted(1000 * each for each in plain)
        return cls(len(ordered) + errors, errors, _quantile(ordered, 0.5), _quantile(ordered, 0.99))


class Victim:
    """Sends `rate` requests a second until the block is left."""

    def __init__(self, scene: Scene, name: str, rate: float) -> None:
        directory, port = scene.directory, scene.gateway.port
        self._plain, self._streams = (
            RecordedLoad(
                directory,
                f"{name}-{model}",
                port,
                scene.request(model, stream=model == PACED),
                rate=rate / 2,
                connections=CONNECTIONS,
            )
            for model in (PLAIN, PACED)
        )

    def __enter__(self) -> Self:
        self._plain.__enter__()
        self._streams.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._plain.__exit__(None, None, None)
        finally:
            self._streams.__exit__(None, None, None)

    @property
    def served(self) -> int:
        """The number of requests answered with a complete 200."""
        return sum(each.status == 200 for load in (self._plain, self._streams) for each in load.requests)

    def between(self, since: float, until: float) -> Figures:
        """Returns the figures of requests due in that span of time.monotonic(). An unanswered request is an error
        at the span's end.
        """
        seconds: list[float] = []
        errors = 0
        for load, pace in ((self._plain, 0.0), (self._streams, self._pace)):
            due = [each for each in load.requests if since <= each.due < until]
            errors += sum(each.status != 200 for each in due)
            seconds += [_lasted(each) - pace for each in due if each.status == 200]
        return Figures.of(seconds or [0.0], errors)

    @property
    def _pace(self) -> float:
        """Seconds that a stream takes by itself; only additional time counts."""
        return min((_lasted(each) for each in self._streams.requests if each.status == 200), default=0.0)

    @property
    def unanswered(self) -> int:
        """Returns the number of requests still unanswered long after the end."""
        return self._plain.unanswered + self._streams.unanswered


def _lasted(request: Request) -> float:
    return request.ended - request.due


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]


def wait(seconds: float) -> float:
    """Sleeps, and returns the time at which it began."""
    began = time.monotonic()
    time.sleep(seconds)
    return began
