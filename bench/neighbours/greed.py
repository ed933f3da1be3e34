"""Sends requests to the attacker's own node, which claims the highest price and an absurd usage for each."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from bench.neighbours.scene import GREEDY, Prey

RATE = 20.0


async def attack(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    headers = {"authorization": f"Bearer {prey.key}"}
    body = {"model": GREEDY, "messages": [{"role": "user", "content": "hello"}]}
    async with aiohttp.ClientSession(prey.origin, headers=headers) as session:
        while True:
            try:
                async with session.post("/v1/chat/completions", json=body) as answer:
                    await answer.read()
                    outcomes[str(answer.status)] += 1
            except aiohttp.ClientError:
                outcomes["broken"] += 1
            await asyncio.sleep(1 / RATE)
