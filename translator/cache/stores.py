"""Where the answers of a route are kept: in memory, or in an outside store."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from translator.cache.answers import Kept
from translator.cache.key import Rule
from translator.cache.memory import DEFAULT_BYTES, MemoryStore
from translator.cache.remote import RemoteStore
from translator.metrics import Sample


class Store(Protocol):
    """Keeps answers. None of its methods raises: what cannot be had is not there."""

    def get(self, key: bytes) -> Kept | Awaitable[Kept | None] | None: ...
    def put(self, key: bytes, route: str, kept: Kept, most_of_route: int = 0) -> bool | Awaitable[None]: ...


class Stores:
    """One of each that a rule names."""

    def __init__(self, log: FilteringBoundLogger, memory: MemoryStore | None = None) -> None:
        self._log = log
        self._memory = memory if memory is not None else MemoryStore()
        self._remote: dict[str, RemoteStore] = {}

    def of(self, rule: Rule) -> Store:
        """Returns the store that a route's rule names."""
        if rule.store:
            found = self._remote.get(rule.store)
            if found is None:
                found = self._remote[rule.store] = RemoteStore(rule.store, self._log)
            return found
        memory, most = self._memory, rule.memory or DEFAULT_BYTES
        if memory.most_bytes != most:
            memory.resize(most)
        return memory

    def samples(self) -> Iterable[Sample]:
        """For `/metrics`."""
        yield from self._memory.samples()
        help_text = "Questions to outside stores of kept answers that had no answer in time."
        failures = sum(each.failures for each in self._remote.values())
        yield Sample("trunkline_translator_cache_failures_total", "counter", help_text, failures)

    async def close(self) -> None:
        """Closes their connections."""
        for each in self._remote.values():
            await each.close()
