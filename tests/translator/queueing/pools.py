"""A pool of machines in simulated time, with the translator's own limits and lines before it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.asking import check
from tests.translator.test_waiting import Translator
from translator.waiting import WaitingRoom


@dataclass
class Outcome:
    """`waits` are pairs of actual and predicted seconds, predicted when the wait began."""

    served: Counter[str] = field(default_factory=Counter)
    waits: list[tuple[float, float]] = field(default_factory=list)
    longest_pause: dict[str, float] = field(default_factory=dict)
    most_running: int = 0


def key_of(organisation: str) -> str:
    return f"sk-key-of-{organisation}-0123456789"


def messages(
    weights: Mapping[str, int], slots: int, size: int
) -> list[policy.Organisation | policy.Key | policy.Route]:
    made: list[policy.Organisation | policy.Key | policy.Route] = []
    for name, weight in weights.items():
        organisation = policies.organisation(f"org_{name}")
        organisation.weight = weight
        made += [organisation, policies.key(f"key_{name}", value=key_of(name), org=f"org_{name}")]
    route = policies.route()
    route.queue_longest_ms, route.queue_size = 240_000, size
    route.slots.append(policy.PoolSlots(model="llama3", slots=slots))
    return [*made, route]


class Pool:
    """A pool. `weights` are the organisations'; a request takes about a second."""

    def __init__(self, weights: Mapping[str, int], *, slots: int, size: int, seed: int = 1) -> None:
        self.now = 0.0
        self._chance = random.Random(seed)
        self._weights = weights
        self.translator = Translator(
            policies.store(*messages(weights, slots, size)), WaitingRoom(lambda: self.now)
        )
        self._numbers = itertools.count(1)
        self._events: list[tuple[float, int, str]] = []
        self._owners: dict[int, str] = {}
        self._predicted: dict[int, tuple[float, float]] = {}
        self._running: set[int] = set()

    async def run(self, *, each: float, seconds: float, warm: float) -> Outcome:
        """Makes every organisation send `each` requests per second. Counts from `warm` on."""
        outcome, last = Outcome(), dict.fromkeys(self._weights, warm)
        for name in self._weights:
            heapq.heappush(self._events, (self._chance.expovariate(each), 0, name))
        while self._events[0][0] < seconds:
            self.now, ended, name = heapq.heappop(self._events)
            if ended:
                self._running.discard(ended)
                self.translator.end(ended)
            else:
                heapq.heappush(self._events, (self.now + self._chance.expovariate(each), 0, name))
                await self._ask(name)
            for number in await self._begun():
                owner = self._owners[number]
                if self.now >= warm:
                    outcome.served[owner] += 1
                    pause = self.now - last[owner]
                    outcome.longest_pause[owner] = max(outcome.longest_pause.get(owner, 0.0), pause)
                    last[owner] = self.now
                    if number in self._predicted:
                        since, predicted = self._predicted[number]
                        outcome.waits.append((self.now - since, predicted))
            outcome.most_running = max(outcome.most_running, len(self._running))
        return outcome

    async def _ask(self, name: str) -> None:
        number = next(self._numbers)
        self._owners[number] = name
        body = {"model": "gpt-4.1", "messages": []}
        asked = check(number, body, value=key_of(name), x_request_id=f"id-{number}")
        self.translator._written(self.translator.session.receive(asked))
        for waiter, seconds, forecast in self.translator.room.positions() if number % 20 == 0 else ():
            if waiter.about.request_id == f"id-{number}" and forecast.seconds is not None:
                self._predicted[number] = self.now - seconds, forecast.seconds

    async def _begun(self) -> list[int]:
        """Returns the requests that were just admitted."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answered = {number: status for number, (status, *_) in self.translator.answers.items() if status != 102}
        for number in answered:
            del self.translator.answers[number]
        begun = [number for number, status in answered.items() if status == 200]
        for number in begun:
            self._running.add(number)
            heapq.heappush(self._events, (self.now + self._chance.uniform(0.5, 1.5), number, ""))
        return begun
