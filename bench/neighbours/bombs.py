"""Sends bodies that are expensive to parse, for a model that does not exist: three at a time, one after
another.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import aiohttp

from bench.neighbours.scene import Prey

AT_ONCE = 3
_MIB = 1024 * 1024


def nested(size: int) -> bytes:
    """Returns `[[],[],…]` of about `size` bytes."""
    return b'{"model":"no-such-model","messages":[' + b"[]," * (size // 3) + b"[]]}"


def many_keys(count: int) -> bytes:
    """Returns an object with `count` members."""
    members = b",".join(b'"k%d":0' % number for number in range(count))
    return b'{"model":"no-such-model",' + members + b"}"


async def attack(prey: Prey, outcomes: Counter[str]) -> None:
    """Attacks until it is cancelled."""
    bodies = (nested(int(28 * _MIB * prey.scale)), many_keys(int(2_000_000 * prey.scale)))
    headers = {"authorization": f"Bearer {prey.key}", "content-type": "application/json"}
    async with aiohttp.ClientSession(prey.origin, headers=headers) as session, asyncio.TaskGroup() as tasks:
        for first in range(AT_ONCE):
            tasks.create_task(_send(session, bodies, first, outcomes))


async def _send(
    session: aiohttp.ClientSession, bodies: tuple[bytes, ...], first: int, outcomes: Counter[str]
) -> None:
    for body in itertools.islice(itertools.cycle(bodies), first, None):
        try:
            async with session.post("/v1/chat/completions", data=body) as answer:
                await answer.read()
                outcomes[str(answer.status)] += 1
        except aiohttp.ClientError:
            outcomes["broken"] += 1
        await asyncio.sleep(0.1)
