"""Sends requests that cause errors at every target: four at once, every three seconds, to each route."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import aiohttp

from bench.neighbours.asking import ask
from bench.neighbours.scene import FIRST_BYTE_SECONDS, PACED, PLAIN, Prey

AT_ONCE, EVERY_SECONDS = 4, 3.0
#: Requests that a server was not configured for, that break it, and that take it too long.
FAULTS = ("fault:status:501", "fault:status:500", f"fault:slow:{1000 * (FIRST_BYTE_SECONDS + 1)}")


async def attack(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    headers = {"authorization": f"Bearer {prey.key}"}
    async with aiohttp.ClientSession(prey.origin, headers=headers) as session, asyncio.TaskGroup() as tasks:
        for fault in itertools.cycle(FAULTS):
            for model in (PLAIN, PACED):
                for _ in range(AT_ONCE):
                    tasks.create_task(ask(session, {"model": model, "user": fault}, outcomes))
            await asyncio.sleep(EVERY_SECONDS)
