"""Requests that provider and ledger can tell apart, while the gateway dies and comes back."""

from __future__ import annotations

import asyncio
import random
import time
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.gateway.process import GatewayProcess


class MarkedLoad:
    """Sends `rate` requests a second, plain and streamed in turn, until the block is left. `user` marks each one.

    `models` are for plain answers and for streams. After `moved`, requests go to the gateway's new ports. Failed
    requests are not retried.
    """

    def __init__(
        self, gateway: GatewayProcess, key: str, models: tuple[str, str], rate: float, chance: random.Random
    ) -> None:
        self._gateway = gateway
        self._headers = {"authorization": f"Bearer {key}"}
        self._models = models
        self._rate = rate
        self._chance = chance
        self.sent = 0
        #: Markers of requests that were answered with 200 to the last byte.
        self.served: set[str] = set()

    async def __aenter__(self) -> Self:
        self.moved()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=240)
        )
        self._progress = asyncio.Condition()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._driver = asyncio.create_task(self._drive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        await self._driver
        await asyncio.gather(*self._running)
        await self._session.close()

    def moved(self) -> None:
        """Notes that the gateway was started again."""
        self._url = f"{self._gateway.base_url}/chat/completions"

    async def wait_for(self, more: int, within: float = 120.0) -> None:
        """Waits until `more` further requests were served."""
        goal = len(self.served) + more
        async with asyncio.timeout(within), self._progress:
            await self._progress.wait_for(lambda: len(self.served) >= goal)

    async def _drive(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self.sent += 1
            task = asyncio.create_task(self._request(f"m{self.sent}", stream=self.sent % 2 == 0))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # the rate of the load

    async def _request(self, marker: str, *, stream: bool) -> None:
        content = " ".join(["word"] * self._chance.randint(1, 40))
        body: dict[str, Any] = {
            "model": self._models[stream],
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._chance.randint(1, 30),
            "stream": stream,
            "user": marker,
        }
        try:
            async with self._session.post(self._url, json=body, headers=self._headers) as answer:
                text = await answer.text()
                whole = answer.status == 200 and (not stream or text.rstrip().endswith("data: [DONE]"))
        except (aiohttp.ClientError, TimeoutError):
            whole = False
        if not whole:
            return
        self.served.add(marker)
        async with self._progress:
            self._progress.notify_all()
