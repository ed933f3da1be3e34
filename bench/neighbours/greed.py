"""Sends requests to the attacker's own node, which claims the highest price and an absurd usage for each."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from bench.neighbours.asking import ask
from bench.neighbours.scene import GREEDY, Prey

RATE = 20.0


async def attack(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    headers = {"authorization": f"Bearer {prey.key}"}
    async with aiohttp.ClientSession(prey.origin, headers=headers) as session:
        while True:
            await ask(session, {"model": GREEDY}, outcomes)
            await asyncio.sleep(1 / RATE)
