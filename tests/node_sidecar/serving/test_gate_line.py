"""The order of requests if the owner's do not go first."""

from __future__ import annotations

import asyncio

import pytest

from node_sidecar.serving.gate import Gate
from node_sidecar.serving.refusal import Refusal


async def _queue(gate: Gate, *names: str) -> list[str]:
    """Lets requests named `own…` and others wait behind a running one. Returns the order in which they ran."""
    order: list[str] = []

    async def request(name: str) -> None:
        async with gate.enter(own=name.startswith("own")):
            order.append(name)
            await asyncio.sleep(0)

    tasks = []
    async with gate.enter(own=False):
        for number, name in enumerate(names, 1):
            tasks.append(asyncio.create_task(request(name)))
            while gate.queued < number:
                await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return order


@pytest.mark.parametrize(
    ("own_first", "expected"),
    [(True, ["own1", "own2", "other1", "other2"]), (False, ["other1", "own1", "other2", "own2"])],
)
async def test_all_wait_in_one_line_if_the_owner_wants_it(own_first: bool, expected: list[str]) -> None:
    gate = Gate(1, 10, own_first=own_first)
    assert await _queue(gate, "other1", "own1", "other2", "own2") == expected


async def test_a_full_queue_makes_room_for_an_owner_who_goes_first_alone() -> None:
    gate = Gate(1, 1, own_first=False)
    async with gate.enter(own=False):
        waiting = asyncio.create_task(_enter(gate))
        while not gate.queued:
            await asyncio.sleep(0)
        with pytest.raises(Refusal):
            async with gate.enter(own=True):
                pytest.fail("went before others")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_places_that_others_may_not_take_are_the_owners_at_once() -> None:
    gate = Gate(2, 10, 0.5, own_first=False)
    async with gate.enter(own=False):
        other = asyncio.create_task(_enter(gate))
        while not gate.queued:
            await asyncio.sleep(0)
        async with asyncio.timeout(60), gate.enter(own=True):
            assert (gate.in_flight, gate.queued) == (2, 1)
    await other


async def _enter(gate: Gate) -> None:
    async with gate.enter(own=False):
        pass
