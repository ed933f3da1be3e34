"""Waits for events that nothing announces, each with a deadline that a busy machine keeps.

`test_sleeps.py` holds the tests to these: a sleep elsewhere states why this time must pass.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast

T = TypeVar("T")
#: Seconds between two looks: a little longer each time, because some start a process.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1
#: Turns of the loop after which every task waits that does nothing but start others.
_TURNS = 50


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.3, _LONGEST_PAUSE)


async def until(condition: Callable[[], T], within: float = 120.0) -> T:
    """Returns the first true result of `condition`. Raises TimeoutError after `within` seconds."""
    pauses = _pauses()
    async with asyncio.timeout(within):
        while not (result := condition()):
            await asyncio.sleep(next(pauses))
    return result


async def until_answered(probe: Callable[[], Awaitable[T]], within: float = 120.0) -> T:
    """Awaits `probe` until its result is true; returns it. Raises TimeoutError after `within` seconds."""
    pauses = _pauses()
    async with asyncio.timeout(within):
        while not (result := await probe()):
            await asyncio.sleep(next(pauses))
    return result


def eventually(condition: Callable[[], T], within: float = 120.0) -> T:
    """Blocks, and returns the first true result of `condition`. Raises TimeoutError after `within` seconds."""
    pauses, deadline = _pauses(), time.monotonic() + within
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s: the last result was {result!r}")
        time.sleep(next(pauses))
    return result


async def timers() -> int:
    """Returns how many timers the running loop has once every task waits for something."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    scheduled: list[asyncio.TimerHandle] = cast("Any", asyncio.get_running_loop())._scheduled
    return sum(not each.cancelled() for each in scheduled)
