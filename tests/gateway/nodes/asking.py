"""Clients of a gateway with nodes: one request at a time, on a connection of its own, with every outcome kept."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp

from tests.gateway.process import GatewayProcess

_CONVERSATIONS = count()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `seconds` is the time to the last byte. With status 0 the connection or the answer broke, and
    `body` is the part that arrived.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def target(self) -> str:
        return self.headers.get("x-trunkline-target", "")

    @property
    def whole(self) -> bool:
        """True for a stream that was complete."""
        return self.status == 200 and self.body.rstrip().endswith(b"data: [DONE]")

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The code of an error in OpenAI's shape; fails if the answer has another shape."""
        error = self.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return str(error["code"])


async def ask(gateway: GatewayProcess, model: str, *, key: str = "", stream: bool = False, **more: Any) -> Answer:
    """Sends the first turn of a new conversation; `more` are fields of its body."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"say something {next(_CONVERSATIONS)}"}],
        "stream": stream,
        **more,
    }
    headers = {"authorization": f"Bearer {key or gateway.api_key}"}
    begun = time.monotonic()
    received = b""
    known: Mapping[str, str] = {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=240)) as session,
            session.post(f"{gateway.base_url}/chat/completions", json=body, headers=headers) as answer,
        ):
            known = answer.headers.copy()
            async for piece in answer.content.iter_any():
                received += piece
            return Answer(answer.status, known, received, time.monotonic() - begun)
    except aiohttp.ClientError:
        return Answer(0, known, received, time.monotonic() - begun)


async def first_answer(
    gateway: GatewayProcess, model: str, *, target: str = "", key: str = "", within: float = 120.0
) -> Answer:
    """Sends requests until one is answered with 200, by `target` if one is named."""
    deadline = time.monotonic() + within
    while True:
        answer = await ask(gateway, model, key=key, max_tokens=4)
        if answer.status == 200 and (not target or answer.target == target):
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"after {within} s still {answer.status} from {answer.target!r}: {answer.body!r}")
        await asyncio.sleep(0.02)  # no event announces that it is served


def figure(what: str, value: float, unit: str) -> None:
    """Prints a figure for readers of `pytest -rP` and docs/nodes.md."""
    sys.stdout.write(f"{what}: {value:.2f} {unit}\n")
