"""Identical requests of one route, in any order of arrivals, answers, failures and clients that leave."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.translator.cache.test_gate import Edge
from translator.cache import gate
from translator.checks.answers import Allowed, Answered
from translator.errors import Refusal

STEPS = 60
PATIENCE = 60


class Clients:
    """Clients of one edge. `fetching` are the requests that a target is about to answer."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.edge = Edge()
        self.tasks: list[asyncio.Task[Allowed | Answered | Refusal]] = []
        self.fetching: list[Allowed] = []

    def step(self) -> None:
        chosen = self.chance.random()
        if chosen < 0.5:
            self.tasks.append(asyncio.create_task(self._ask(f"q-{len(self.tasks)}")))
        elif chosen < 0.6 and self.tasks:
            self.chance.choice(self.tasks).cancel()
        elif self.fetching:
            self.end(self.fetching.pop(self.chance.randrange(len(self.fetching))))

    def end(self, allowed: Allowed) -> None:
        match self.chance.randrange(5):
            case 0:
                self.edge.cut(allowed, left=True)
            case 1:
                self.edge.cut(allowed, left=False)
            case 2:
                self.edge.pass_on(allowed, b"{")
            case _:
                self.edge.pass_on(allowed)

    async def _ask(self, request_id: str) -> Allowed | Answered | Refusal:
        content, control = f"c{self.chance.randrange(2)}", self.chance.choice(["", "", "no-cache", "no-store"])
        try:
            answer = await self.edge.ask(
                content, request_id=request_id, control=control, stream=self.chance.random() < 0.4
            )
        except Refusal as refusal:
            return refusal
        except asyncio.CancelledError:
            self.edge.authoriser.end(request_id)
            raise
        if isinstance(answer, Allowed) and answer.copy:
            self.fetching.append(answer)
        return answer


@pytest.mark.parametrize("seed", range(20))
async def test_everybody_gets_an_answer_and_nothing_is_left(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_GRACE", 0.0)
    for trial in range(5):
        clients = Clients(random.Random(10 * seed + trial))
        for _ in range(STEPS):
            clients.step()
            for _ in range(clients.chance.randrange(4)):
                await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            while clients.fetching or not all(task.done() for task in clients.tasks):
                while clients.fetching:
                    clients.end(clients.fetching.pop())
                await asyncio.sleep(0)
            while clients.edge.gate._flights or clients.edge.gate._tasks:
                await asyncio.sleep(0)
        assert all(task.cancelled() or task.exception() is None for task in clients.tasks)
