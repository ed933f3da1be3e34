"""Places that are taken and become free in simulated time, with a line before them."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from translator.queueing import Flow, Line


@dataclass(eq=False)
class Waiter:
    flow: Flow
    since: float = 0.0
    predicted: float | None = None


@dataclass
class Outcome:
    """`waits` are pairs of actual and predicted seconds."""

    served: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    waits: list[tuple[float, float]] = field(default_factory=list)
    longest_pause: dict[str, float] = field(default_factory=dict)


def simulate(
    offered: Mapping[Flow, float], *, slots: int, seconds: float, size: int, warm: float, seed: int = 1
) -> Outcome:
    """Simulates flows that offer `offered` requests per second at random; each request takes about a second.
    Counts from `warm` on.
    """
    chance, line, outcome, numbers = random.Random(seed), Line[Waiter](), Outcome(), itertools.count()
    events: list[tuple[float, int, Flow | None]] = []
    free = slots
    last_served: dict[str, float] = {}
    flow: Flow | None
    for flow, rate in offered.items():
        heapq.heappush(events, (chance.expovariate(rate), next(numbers), flow))
    while events:
        now, _, flow = heapq.heappop(events)
        if now > seconds:
            break
        if flow is None:
            free += 1
        else:
            heapq.heappush(events, (now + chance.expovariate(offered[flow]), next(numbers), flow))
            forecast = line.forecast(flow, now)
            waiter = Waiter(flow, now, forecast.seconds)
            gone = line.join(waiter, size, now)
            if gone is not None and now >= warm:
                outcome.refused[gone.flow.key] += 1
        while free and (first := line.first()) is not None:
            line.serve(first, now)
            free -= 1
            heapq.heappush(events, (now + chance.uniform(0.5, 1.5), next(numbers), None))
            key = first.flow.key
            if now >= warm:
                outcome.served[key] += 1
                pause = now - last_served.get(key, now)
                outcome.longest_pause[key] = max(outcome.longest_pause.get(key, 0.0), pause)
                if first.predicted is not None:
                    outcome.waits.append((now - first.since, first.predicted))
            last_served[key] = now
    return outcome
