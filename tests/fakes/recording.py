"""The requests that the fake provider received: records, counters, and waiting for either to change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fakes.http11 import Request

BODY_KEPT_BYTES = 1 << 20
COUNTERS = ("connections", "requests", "finished", "disconnects", "events", "unfinished_requests")


@dataclass(slots=True)
class Record:
    """A request. Monotonic times are CLOCK_MONOTONIC seconds, comparable between processes of one machine.

    `disconnected_*` is when the peer left before the answer had ended (`disconnect` is "fin" or "rst"), and
    `events_sent` the number of events sent by then. `body` is None from 1 MiB on. `user` is the member of a chat's
    body; the tokens are those of its whole answer, whether it was sent completely or not.
    """

    id: int
    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    body_bytes: int
    body_sha256: str
    mode: str
    received_monotonic: float
    status: int = 0
    events_sent: int = 0
    user: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finished_monotonic: float | None = None
    disconnect: str = ""
    disconnected_monotonic: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the record for the control API, with the body in base64."""
        body = None if self.body is None else base64.b64encode(self.body).decode()
        return {**asdict(self), "body": body, "path": self.target.partition("?")[0]}


@dataclass(slots=True)
class Recording:
    """Records and counters since the last `clear`."""

    records: list[Record] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(COUNTERS, 0)))
    by_status: Counter[int] = field(default_factory=Counter)
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)
    _waiting: int = 0
    _notifications: set[asyncio.Task[None]] = field(default_factory=set)
    _next_id: int = 1

    def begin(self, request: Request, connection: int, mode: str) -> Record:
        """Records a request that was read completely."""
        record = Record(
            id=self._next_id,
            connection=connection,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body=request.body if len(request.body) < BODY_KEPT_BYTES else None,
            body_bytes=len(request.body),
            body_sha256=hashlib.sha256(request.body).hexdigest(),
            mode=mode,
            received_monotonic=time.monotonic(),
        )
        self._next_id += 1
        self.records.append(record)
        self.count("requests")
        return record

    def produced(self) -> list[tuple[str, int, int]]:
        """Returns user, prompt and completion tokens of every chat that was answered whole."""
        return [
            (each.user, each.prompt_tokens, each.completion_tokens)
            for each in self.records
            if each.prompt_tokens and each.finished_monotonic is not None
        ]

    def finish(self, record: Record) -> None:
        """Records that the answer was sent completely."""
        record.finished_monotonic = time.monotonic()
        self.by_status[record.status] += 1
        self.count("finished")

    def disconnect(self, record: Record, how: str) -> None:
        """Records that the peer left before the answer had ended."""
        record.disconnect = how
        record.disconnected_monotonic = time.monotonic()
        self.count("disconnects")

    def count(self, name: str) -> None:
        """Adds one, and wakes the waiting callers."""
        self.counters[name] += 1
        if self._waiting:
            task = asyncio.ensure_future(self._notify())
            self._notifications.add(task)
            task.add_done_callback(self._notifications.discard)

    def clear(self) -> None:
        """Forgets records and counters; ids continue."""
        self.records.clear()
        self.by_status.clear()
        for name in self.counters:
            self.counters[name] = 0

    async def reached(self, name: str, at_least: int, timeout_seconds: float) -> bool:
        """Waits until a counter is `at_least`; returns False on timeout."""
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_seconds), self._moved:
                await self._moved.wait_for(lambda: self.counters[name] >= at_least)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()
