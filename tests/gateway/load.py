"""A steady load of plain requests and streams, with every outcome kept."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request as its client saw it. Times are seconds, monotonic; `problem` is empty if it succeeded."""

    started: float
    duration: float
    status: int
    target: str
    attempts: int
    problem: str = ""
    retry_after: str = ""


@dataclass
class Load:
    """Sends `rate` plain requests a second (0: only what the test sends by `request`), and keeps `streams` streams
    running, until the block is left.
    """

    base_url: str
    api_key: str
    model: str
    rate: float = 50.0
    streams: int = 0
    stream_model: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    stream_outcomes: list[Outcome] = field(default_factory=list)
    #: Running streams, by the target that serves them.
    streaming: Counter[str] = field(default_factory=Counter)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"authorization": f"Bearer {self.api_key}"},
            timeout=aiohttp.ClientTimeout(total=240),
        )
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[Outcome]] = set()
        self._progress = asyncio.Condition()
        self._drivers = [asyncio.create_task(self._drive())] if self.rate else []
        self._drivers += [asyncio.create_task(self._drive_stream()) for _ in range(self.streams)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        await asyncio.gather(*self._drivers)
        await asyncio.gather(*self._running)
        await self._session.close()

    @property
    def problems(self) -> list[Outcome]:
        return [each for each in [*self.outcomes, *self.stream_outcomes] if each.problem]

    def targets(self, since: float = 0.0) -> Counter[str]:
        """Returns the targets that served the plain requests started after `since`."""
        return Counter(each.target for each in self.outcomes if each.started >= since)

    async def wait_for(self, more: int, *, target: str = "", within: float = 120.0) -> None:
        """Waits until `more` further plain requests have ended, served by `target` if one is named."""

        def count() -> int:
            return sum(1 for each in self.outcomes if not target or each.target == target)

        goal = count() + more
        async with asyncio.timeout(within), self._progress:
            await self._progress.wait_for(lambda: count() >= goal)

    async def _drive(self) -> None:
        interval = 1 / self.rate
        due = time.monotonic()
        while not self._stopping.is_set():
            task = asyncio.create_task(self.request())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            due += interval
            await asyncio.sleep(max(0.0, due - time.monotonic()))  # the rate of the load

    async def request(self) -> Outcome:
        """Sends a plain request; its outcome is among the others too."""
        started = time.monotonic()
        body = {"model": self.model, "messages": [{"role": "user", "content": "x" * 200}]}
        try:
            async with self._session.post(f"{self.base_url}/chat/completions", json=body) as response:
                text = await response.text()
                outcome = _outcome(started, response, "" if response.status == 200 else text)
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = Outcome(started, time.monotonic() - started, 0, "", 0, repr(error))
        self.outcomes.append(outcome)
        async with self._progress:
            self._progress.notify_all()
        return outcome

    async def _drive_stream(self) -> None:
        while not self._stopping.is_set():
            self.stream_outcomes.append(await self.stream())

    async def stream(self, model: str = "") -> Outcome:
        """Reads a stream from its first to its last event; a stream without `[DONE]` is a problem."""
        started = time.monotonic()
        body = {
            "model": model or self.stream_model or self.model,
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
        }
        try:
            async with self._session.post(f"{self.base_url}/chat/completions", json=body) as response:
                served_by = response.headers.get("x-trunkline-target", "")
                self.streaming[served_by] += 1
                async with self._progress:
                    self._progress.notify_all()
                try:
                    text = await response.text()
                finally:
                    self.streaming[served_by] -= 1
                done = response.status == 200 and text.rstrip().endswith("data: [DONE]")
                return _outcome(started, response, "" if done else text[-300:] or "nothing")
        except (aiohttp.ClientError, TimeoutError) as error:
            return Outcome(started, time.monotonic() - started, 0, "", 0, repr(error))


def _outcome(started: float, response: aiohttp.ClientResponse, problem: str) -> Outcome:
    headers = response.headers
    return Outcome(
        started,
        time.monotonic() - started,
        response.status,
        headers.get("x-trunkline-target", ""),
        int(headers.get("x-trunkline-attempts", "0")),
        problem,
        headers.get("retry-after", ""),
    )
