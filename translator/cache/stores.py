"""The stores of cached answers: memory, or an external store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from translator.cache.answers import CachedAnswer
from translator.cache.key import CacheRule
from translator.cache.memory import DEFAULT_BYTES, MemoryStore
from translator.cache.remote import RemoteStore
from translator.metrics import Sample


class AnswerStore(Protocol):
    """Stores answers. No method raises: an answer that cannot be read counts as missing."""

    def get(self, key: bytes) -> CachedAnswer | Awaitable[CachedAnswer | None] | None:
        """Returns the answer, or something to await if the store is not in memory; None if there is none."""

    def put(self, key: bytes, route: str, cached: CachedAnswer, max_of_route: int = 0) -> bool | Awaitable[None]:
        """Stores an answer in the room of `route`, of at most `max_of_route` bytes (0: no limit of its own)."""


class Stores:
    """The memory and the gateway's outside store. If the store's address changes, the old one is closed."""

    def __init__(self, log: FilteringBoundLogger, memory: MemoryStore | None = None) -> None:
        self._log = log
        self._memory = memory if memory is not None else MemoryStore()
        self._address = ""
        self._remote: RemoteStore | None = None
        #: Tasks that close former outside stores.
        self._leaving: set[asyncio.Task[None]] = set()
        self._failures = 0

    def of(self, rule: CacheRule) -> AnswerStore:
        """Returns the store that a route's rule names."""
        if rule.store:
            if self._remote is None or self._address != rule.store:
                self._leave()
                self._address, self._remote = rule.store, RemoteStore(rule.store, self._log)
            return self._remote
        memory, most = self._memory, rule.memory or DEFAULT_BYTES
        if memory.max_bytes != most:
            memory.resize(most)
        return memory

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        yield from self._memory.samples()
        help_text = "Requests to outside stores that were not answered in time."
        failures = self._failures + (self._remote.failures if self._remote is not None else 0)
        yield Sample("trunkline_translator_cache_failures_total", "counter", help_text, failures)

    async def close(self) -> None:
        """Closes the connections to the outside store."""
        if self._remote is not None:
            await self._remote.close()
        await asyncio.gather(*self._leaving)

    def _leave(self) -> None:
        if self._remote is not None:
            self._failures += self._remote.failures
            task = asyncio.create_task(self._remote.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
