"""The memory that large responses share."""

from __future__ import annotations

import asyncio

import pytest

from xds_server.transport.response_buffers import ResponseBuffers


class Scene:
    def __init__(self) -> None:
        self.buffers = ResponseBuffers(small=10, room=100)
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def enter(self, name: str, size: int, peer: str = "a", *, answers: bool = True) -> None:
        async def stay() -> None:
            async with self.buffers.reserved(peer, size, answers=answers):
                self.inside.append(name)
                try:
                    await asyncio.Event().wait()
                finally:
                    self.inside.remove(name)

        self.tasks[name] = asyncio.create_task(stay())
        await self.settle()

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_one_after_the_other_in_their_order() -> None:
    scene = Scene()
    for name, size in (("a", 60), ("b", 30), ("c", 60), ("d", 20)):
        await scene.enter(name, size)
    assert scene.inside == ["a", "b"]
    await scene.leave("a")
    assert scene.inside == ["b", "c"]
    await scene.leave("b")
    assert scene.inside == ["c", "d"]


async def test_small_ones_and_other_lanes_do_not_wait() -> None:
    scene = Scene()
    await scene.enter("large", 500)
    await scene.enter("waits", 20)
    await scene.enter("small", 10)
    await scene.enter("another peer", 50, "b")
    await scene.enter("has not answered", 50, answers=False)
    assert scene.inside == ["large", "small", "another peer", "has not answered"]


@pytest.mark.parametrize("leaving", ["waits", "large"])
async def test_a_client_that_leaves_makes_room(leaving: str) -> None:
    scene = Scene()
    await scene.enter("large", 90)
    await scene.enter("waits", 90)
    await scene.enter("last", 10 + 1)
    await scene.leave(leaving)
    assert scene.inside == (["large"] if leaving == "waits" else ["waits"])
    for name in ("large", "waits", "last"):
        await scene.leave(name)
    assert scene.inside == []
    assert scene.buffers._buffers == {}
