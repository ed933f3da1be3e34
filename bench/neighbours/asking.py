"""Sends requests as an attacker does: counts the answers, and continues after any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import aiohttp

_MESSAGES = [{"role": "user", "content": "hello"}]


async def ask(session: aiohttp.ClientSession, request: Mapping[str, str], outcomes: Counter[str]) -> None:
    """Sends a chat request with these members, and counts its status."""
    try:
        async with session.post("/v1/chat/completions", json={**request, "messages": _MESSAGES}) as answer:
            await answer.read()
            outcomes[str(answer.status)] += 1
    except aiohttp.ClientError:
        outcomes["broken"] += 1
