"""Concurrency limits for each model, and a total that changes while requests run and wait."""

from __future__ import annotations

import asyncio

import pytest

from node_sidecar.serving.gate import Gate
from node_sidecar.serving.refusal import Refusal


class Request:
    """Enters a gate as soon as it may, and stays until `leave`."""

    def __init__(self, gate: Gate, model: str, *, own: bool = False) -> None:
        self._go = asyncio.Event()
        self.inside = False
        self.task = asyncio.create_task(self._run(gate, model, own))

    async def _run(self, gate: Gate, model: str, own: bool) -> None:
        async with gate.enter(own=own, model=model):
            self.inside = True
            await self._go.wait()
        self.inside = False

    async def leave(self) -> None:
        self._go.set()
        await self.task


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_full_model_lets_others_pass() -> None:
    gate = Gate(8, 8)
    gate.set_limits(8, {"small": 1, "large": 7})
    first, second, other = Request(gate, "small"), Request(gate, "small"), Request(gate, "large")
    await _settle()
    assert (first.inside, second.inside, other.inside) == (True, False, True)
    assert gate.queued == 1
    await other.leave()
    await _settle()
    assert not second.inside
    await first.leave()
    await _settle()
    assert second.inside
    await second.leave()
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_more_slots_are_taken_at_once_and_fewer_come_into_force_as_requests_end() -> None:
    gate = Gate(1, 8)
    requests = [Request(gate, "m") for _ in range(4)]
    await _settle()
    assert gate.in_flight == 1
    gate.set_limits(3, {"m": 3})
    await _settle()
    assert gate.in_flight == 3
    gate.set_limits(1, {"m": 1})
    await requests[0].leave()
    await _settle()
    assert (gate.in_flight, gate.queued) == (2, 1)
    for request in requests[1:3]:
        await request.leave()
    await _settle()
    assert requests[3].inside
    await requests[3].leave()


async def test_a_model_whose_limit_is_not_known_is_bounded_by_the_node() -> None:
    gate = Gate(2, 0)
    gate.set_limits(2, {"m": 1})
    requests = [Request(gate, "new") for _ in range(2)]
    await _settle()
    assert gate.in_flight == 2
    with pytest.raises(Refusal):
        gate.check(own=False, model="new")
    for request in requests:
        await request.leave()


async def test_the_owner_goes_first_within_a_model() -> None:
    gate = Gate(4, 4)
    gate.set_limits(4, {"m": 1})
    running, other, own = Request(gate, "m"), Request(gate, "m"), Request(gate, "m", own=True)
    await _settle()
    await running.leave()
    await _settle()
    assert (own.inside, other.inside) == (True, False)
    await own.leave()
    await other.leave()


async def test_the_share_of_others_follows_the_number_of_slots() -> None:
    gate = Gate(2, 8, 0.5)
    requests = [Request(gate, "m") for _ in range(4)]
    await _settle()
    assert gate.in_flight == 1
    gate.set_limits(8, {})
    await _settle()
    assert gate.in_flight == 4
    for request in requests:
        await request.leave()
