"""A steady load in which every request has an identity, and its outcome: complete, refused, or visibly broken."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.gateway.process import GatewayProcess

TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its client saw it. Times are seconds, monotonic.

    `status` is 0 if no answer began; `broken` says how the connection failed, before or after that. `cut` is an
    answer that ended as if it were complete, but is not, which must never happen.
    """

    marker: str
    stream: bool
    started: float
    ended: float
    status: int = 0
    target: str = ""
    broken: str = ""
    cut: bool = False
    text: str = ""

    @property
    def served(self) -> bool:
        """True if it was answered with 200, to the last byte."""
        return self.status == 200 and not self.broken and not self.cut

    def met(self, moments: list[float], before: float = 0.0) -> bool:
        """Returns whether it ran at one of these moments, or began at most `before` seconds after one."""
        return any(self.started - before <= moment <= self.ended for moment in moments)


class ToldApart:
    """Sends `rate` requests a second, plain and streamed in turn, until the block is left; none is sent twice.

    `models` are for plain answers and for streams. Each request has a connection of its own, so that it was
    accepted by the Envoy that was running at that time.
    """

    def __init__(self, gateway: GatewayProcess, models: tuple[str, str], rate: float, key: str = "") -> None:
        self._url = f"{gateway.base_url}/chat/completions"
        self._headers = {"authorization": f"Bearer {key or gateway.api_key}"}
        self._models = models
        self._rate = rate
        self.sent = 0
        self.requests: list[Request] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
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

    async def serves(self, target: str, since: float, within: float) -> float:
        """Waits until a request that was started after `since` was served by `target`. Returns how many seconds
        that took.
        """

        def found() -> bool:
            return any(each.served and each.started > since and each.target == target for each in self.requests)

        try:
            async with asyncio.timeout(within), self._progress:
                await self._progress.wait_for(found)
        except TimeoutError:
            last = self.requests[-5:]
            raise AssertionError(f"{target} serves nothing {within:.0f} s later; the last: {last}") from None
        return time.monotonic() - since

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
        started, status, target, text, broken = time.monotonic(), 0, "", "", ""
        body: dict[str, Any] = {
            "model": self._models[stream],
            "messages": [{"role": "user", "content": f"say something {marker}"}],
            "max_tokens": 30,
            "stream": stream,
            "user": marker,
        }
        try:
            async with self._session.post(self._url, json=body) as answer:
                status, target = answer.status, answer.headers.get("x-trunkline-target", "")
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            broken = repr(error)
        whole = text.rstrip().endswith("data: [DONE]" if stream else "}")
        cut = status == 200 and not broken and not whole
        self.requests.append(
            Request(marker, stream, started, time.monotonic(), status, target, broken, cut, text[-300:])
        )
        async with self._progress:
            self._progress.notify_all()
