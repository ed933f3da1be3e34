"""A route with cache, queue and one place, in any order of arrivals, ends, leaving clients and revoked keys."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.translator import policies
from tests.translator.cache.test_queue import Full
from translator.checks.answers import Allowed, Answered
from translator.checks.waits import Waits
from translator.errors import Refusal

pytestmark = pytest.mark.slow

PATIENCE = 60
KEY = policies.key("key_2", value=policies.OTHER_VALUE)


class Clients:
    """What Envoy's module knows: which requests wait, run, have an answer, or were left by their clients."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.edge = Full()
        self.edge.store.apply(policies.response(policies.KEY, KEY))
        self.edge.store.on_change = self.edge.room.policy_changed
        self.waiting: dict[str, Waits[Answered | Exception]] = {}
        self.running: dict[str, Allowed] = {}
        self.answered: dict[str, Allowed | Answered | Exception] = {}
        self.left: set[str] = set()

    def step(self) -> None:
        chosen = self.chance.random()
        if chosen < 0.45:
            self._ask(f"r{len(self.waiting) + len(self.answered) + len(self.left)}")
        elif chosen < 0.6 and self.waiting:
            self._leave(self.chance.choice(list(self.waiting)))
        elif chosen < 0.63:
            self.edge.store.apply(policies.response(policies.KEY, removed=[KEY.id]))
        elif chosen < 0.66:
            self.edge.store.apply(policies.response(policies.KEY, KEY))
        elif self.running:
            self.finish(self.chance.choice(list(self.running)))

    def finish(self, request_id: str) -> None:
        """Ends a request as Envoy does: with the copy of its answer, or without, and a line in the log."""
        allowed = self.running.pop(request_id)
        match self.chance.randrange(6) if allowed.copy else None:
            case 0:
                self.edge.cut(allowed, left=True)
            case 1:
                self.edge.cut(allowed, left=False)
            case 2:
                self.edge.pass_on(allowed, b"{")
            case int():
                self.edge.pass_on(allowed)
        self._settle(request_id)

    def _ask(self, request_id: str) -> None:
        try:
            decision = self.edge.decide(
                f"c{self.chance.randrange(3)}",
                request_id=request_id,
                control=self.chance.choice(["", "", "", "no-store", "no-cache"]),
                stream=self.chance.random() < 0.3,
                value=self.chance.choice([policies.VALUE, policies.OTHER_VALUE]),
            )
        except Refusal as refusal:
            self._take(request_id, refusal)
            return
        if isinstance(decision, Waits):
            self.waiting[request_id] = decision
            decision.start(lambda outcome: self._take(request_id, outcome))
        else:
            assert isinstance(decision, (Allowed, Answered))
            self._take(request_id, decision)

    def _leave(self, request_id: str) -> None:
        self.left.add(request_id)
        self.waiting.pop(request_id).cancel()
        self.edge.authoriser.end(request_id)

    def _take(self, request_id: str, outcome: Allowed | Answered | Exception) -> None:
        assert request_id not in self.left
        assert request_id not in self.answered
        self.answered[request_id] = outcome
        self.waiting.pop(request_id, None)
        if isinstance(outcome, Allowed):
            self.running[request_id] = outcome
        elif isinstance(outcome, Answered):
            self._settle(request_id)

    def _settle(self, request_id: str) -> None:
        self.edge.authoriser.end(request_id)
        self.edge.limiter.settle(request_id, 0, 0)


@pytest.mark.parametrize("seed", range(24))
async def test_every_client_that_stays_has_one_answer_and_nothing_is_left(seed: int) -> None:
    clients = Clients(random.Random(seed))
    for _ in range(120):
        clients.step()
        for _ in range(clients.chance.randrange(4)):
            await asyncio.sleep(0)
    edge = clients.edge
    async with asyncio.timeout(PATIENCE):
        while clients.running or clients.waiting or edge.gate._tasks:
            for request_id in tuple(clients.running):
                clients.finish(request_id)
            await asyncio.sleep(0)
    assert (edge.in_line, len(edge.gate._flights), edge.limiter.outstanding) == (0, 0, 0)
    assert not edge.gate._flights._leading
