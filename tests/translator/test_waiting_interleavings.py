"""Lines with limits of every holder, in any order of arrivals, ends, leaving clients and changes of the policy."""

from __future__ import annotations

import asyncio
import random

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.test_waiting import Translator, concurrency, route
from translator.policy.store import type_url

pytestmark = pytest.mark.slow

PATIENCE = 60
OK, WAITS = 200, 102


def messages(chance: random.Random) -> list[policy.Key | policy.Organisation | policy.Route]:
    """Returns a policy with some limits."""
    one, other = policies.key(), policies.key("key_2", value=policies.OTHER_VALUE)
    organisation, limited = policies.organisation(), route(chance.choice([1, 2, 3, 50]))
    for message in (one, other, organisation):
        if chance.random() < 0.4:
            message.limits.append(concurrency(chance.choice([1, 2])))
    for holder in (one, other, limited):
        if chance.random() < 0.4:
            holder.limits.append(
                policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=chance.choice([1, 2]), each=policy.EACH_USER)
            )
    limited.queue_size = chance.choice([0, 0, 1, 3, 10])
    return [one, other, organisation, limited, route(chance.choice([1, 2]), route_id="rt_2", model="other")]


class Clients:
    """Requests by their numbers, from 1."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.translator = Translator(policies.store(*messages(chance)))
        self.asked = 0
        self.gone: set[int] = set()

    def with_status(self, status: int) -> list[int]:
        answers = self.translator.answers
        return [
            each
            for each in range(1, self.asked + 1)
            if each not in self.gone and answers.get(each, (0,))[0] == status
        ]

    def end(self, number: int) -> None:
        self.gone.add(number)
        self.translator.end(number)

    def step(self) -> None:
        chosen = self.chance.random()
        if chosen < 0.5:
            self.asked += 1
            self.translator.ask(
                self.asked,
                value=self.chance.choice([policies.VALUE, policies.OTHER_VALUE]),
                user=self.chance.choice(["", "a", "b", "c"]),
                model=self.chance.choice(["gpt-4.1", "gpt-4.1", "other"]),
            )
        elif chosen < 0.66 and chosen >= 0.6:
            message = self.chance.choice(messages(self.chance))
            self.translator.store.apply(policies.response(type_url(type(message)), message))
        elif found := self.with_status(WAITS if chosen < 0.6 else OK):
            self.end(self.chance.choice(found))


@pytest.mark.parametrize("seed", range(16))
async def test_nobody_waits_when_nothing_runs(seed: int) -> None:
    clients = Clients(random.Random(seed))
    for _ in range(80):
        clients.step()
        for _ in range(clients.chance.randrange(3)):
            await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        while clients.with_status(OK) or clients.with_status(WAITS):
            for number in clients.with_status(OK):
                clients.end(number)
            await asyncio.sleep(0)
    assert not list(clients.translator.room.positions())
