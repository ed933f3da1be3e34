from __future__ import annotations

import asyncio

import pytest

from node_sidecar.serving.gate import Gate
from node_sidecar.serving.refusal import Refusal


class Request:
    """Enters a gate as soon as it may, and stays until `leave`."""

    def __init__(self, gate: Gate, *, own: bool = False) -> None:
        self._go = asyncio.Event()
        self.inside = False
        self.refused: Refusal | None = None
        self.task = asyncio.create_task(self._run(gate, own))

    async def _run(self, gate: Gate, own: bool) -> None:
        try:
            async with gate.enter(own=own):
                self.inside = True
                await self._go.wait()
        except Refusal as refusal:
            self.refused = refusal
        finally:
            self.inside = False

    async def leave(self) -> None:
        self._go.set()
        await self.task
        await turn()


async def turn() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def requests(gate: Gate, count: int, *, own: bool = False) -> list[Request]:
    made = []
    for _ in range(count):
        made.append(Request(gate, own=own))
        await turn()
    return made


async def test_as_many_as_the_limit_then_as_many_as_the_queue_then_429() -> None:
    gate = Gate(2, 1)
    first, second, third, fourth = await requests(gate, 4)
    assert (gate.in_flight, gate.queued, gate.limit) == (2, 1, 2)
    assert first.inside
    assert second.inside
    assert not third.inside
    assert fourth.refused is not None
    assert (fourth.refused.status, fourth.refused.code, fourth.refused.retry_after) == (429, "node_busy", 1)
    await first.leave()
    assert third.inside
    assert (gate.in_flight, gate.queued) == (2, 0)
    await second.leave()
    await third.leave()
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_no_limit() -> None:
    gate = Gate(0, 0)
    many = await requests(gate, 50)
    assert (gate.in_flight, gate.limit) == (50, 0)
    for one in many:
        await one.leave()


async def test_the_owner_goes_first() -> None:
    gate = Gate(1, 10)
    (running,) = await requests(gate, 1)
    others = await requests(gate, 2)
    (own,) = await requests(gate, 1, own=True)
    await running.leave()
    assert own.inside
    await own.leave()
    assert others[0].inside
    for other in others:
        await other.leave()


async def test_a_full_queue_makes_room_for_the_owner_by_sending_the_last_of_the_others_away() -> None:
    gate = Gate(1, 2)
    (running,) = await requests(gate, 1)
    first, last = await requests(gate, 2)
    (own,) = await requests(gate, 1, own=True)
    assert last.refused is not None
    assert last.refused.status == 429
    assert gate.queued == 2
    (second_own,) = await requests(gate, 1, own=True)
    assert first.refused is not None
    (third_own,) = await requests(gate, 1, own=True)
    assert third_own.refused is not None, "the owner's own requests fill the queue"
    for one in (running, own, second_own):
        await one.leave()
    assert gate.in_flight == 0


@pytest.mark.parametrize(("limit", "share", "slots"), [(4, 0.5, 2), (4, 0.1, 1), (10, 0.29, 2), (100, 0.29, 29)])
async def test_others_hold_their_share_at_most(limit: int, share: float, slots: int) -> None:
    gate = Gate(limit, 100, share)
    others = await requests(gate, slots + 1)
    assert [one.inside for one in others] == [True] * slots + [False]
    own = await requests(gate, limit - slots, own=True)
    assert all(one.inside for one in own), "the owner passes those who wait for their share"
    await own[0].leave()
    assert not others[-1].inside, "a slot of the owner's is not theirs"
    await others[0].leave()
    assert others[-1].inside
    for one in (*others[1:], *own[1:]):
        await one.leave()


async def test_without_a_share_others_are_sent_elsewhere() -> None:
    gate = Gate(4, 4, 0.0)
    (other,) = await requests(gate, 1)
    assert other.refused is not None
    assert (other.refused.status, other.refused.code) == (503, "node_closed")
    (own,) = await requests(gate, 1, own=True)
    await own.leave()


async def test_a_client_that_leaves_leaves_the_queue() -> None:
    gate = Gate(1, 1)
    running, waiting = await requests(gate, 2)
    waiting.task.cancel()
    await turn()
    assert gate.queued == 0
    (next_one,) = await requests(gate, 1)
    await running.leave()
    assert next_one.inside
    await next_one.leave()
    assert gate.in_flight == 0


async def test_a_client_that_leaves_as_the_owner_takes_its_place() -> None:
    gate = Gate(1, 1)
    running, waiting = await requests(gate, 2)
    own = Request(gate, own=True)
    waiting.task.cancel()  # the owner's request arrives before it has left the queue
    await turn()
    assert waiting.refused is None
    await running.leave()
    assert own.inside
    await own.leave()
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_a_client_that_leaves_at_its_turn_gives_it_to_the_next() -> None:
    gate = Gate(1, 5)
    running, leaving, waiting = await requests(gate, 3)
    running._go.set()
    # The slot is handed on within this very turn of the loop; the cancellation comes between hand-over and use.
    running.task.add_done_callback(lambda _: leaving.task.cancel())
    await turn()
    assert waiting.inside
    await waiting.leave()
    assert (gate.in_flight, gate.queued) == (0, 0)


async def test_a_running_client_that_leaves_gives_its_place_back() -> None:
    gate = Gate(1, 1)
    running, waiting = await requests(gate, 2)
    running.task.cancel()
    await turn()
    assert waiting.inside
    await waiting.leave()
    await gate.idle()


async def test_drain_finishes_what_runs_and_sends_the_queue_elsewhere() -> None:
    gate = Gate(1, 5)
    running, waiting = await requests(gate, 2)
    (own,) = await requests(gate, 1, own=True)
    gate.drain()
    await turn()
    for one in (waiting, own):
        assert one.refused is not None
        assert (one.refused.status, one.refused.code) == (503, "node_draining")
    idle = asyncio.create_task(gate.idle())
    await turn()
    assert running.inside
    assert not idle.done()
    await running.leave()
    await idle
    (late,) = await requests(gate, 1)
    assert late.refused is not None
    gate.resume()
    (after,) = await requests(gate, 1)
    assert after.inside
    await after.leave()


async def test_owner_only_and_closed() -> None:
    gate = Gate(1, 5)
    (running,) = await requests(gate, 1)
    (own,) = await requests(gate, 1, own=True)
    (other,) = await requests(gate, 1)
    gate.close_to_others("outside 22:00-06:00")
    await turn()
    assert other.refused is not None
    assert (other.refused.status, other.refused.code) == (503, "node_closed")
    assert "outside 22:00-06:00" in other.refused.message
    assert gate.queued == 1
    gate.close("paused")
    await turn()
    assert own.refused is not None
    assert "paused" in own.refused.message
    assert running.inside
    gate.open()
    (next_one,) = await requests(gate, 1)
    await running.leave()
    assert next_one.inside
    await next_one.leave()
