"""Cached answers in memory, bounded in bytes; the least recently used ones are evicted."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from translator.cache.answers import CachedAnswer
from translator.metrics import Sample

DEFAULT_BYTES = 256 * 1024 * 1024


class MemoryStore:
    """Stores answers of at most `max_bytes` in all. `clock` gives Unix seconds."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES, clock: Callable[[], float] = time.time) -> None:
        self.max_bytes = max_bytes
        self._clock = clock
        #: Key → route and answer; the most recently used is last.
        self._cached: OrderedDict[bytes, tuple[str, CachedAnswer]] = OrderedDict()
        #: The same keys by route, in the same order.
        self._routes: dict[str, OrderedDict[bytes, None]] = {}
        self._bytes: dict[str, int] = {}
        self.bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._cached)

    def get(self, key: bytes) -> CachedAnswer | None:
        """Returns the answer of a key unless it has expired."""
        found = self._cached.get(key)
        if found is None:
            return None
        route, cached = found
        if cached.until <= self._clock():
            self._remove(key)
            return None
        self._cached.move_to_end(key)
        self._routes[route].move_to_end(key)
        return cached

    def put(self, key: bytes, route: str, cached: CachedAnswer, max_of_route: int = 0) -> bool:
        """Stores an answer, evicting others to keep its route within `max_of_route` bytes (0: no bound of its
        own). Returns whether the answer fits.
        """
        size, most = cached.size, min(max_of_route or self.max_bytes, self.max_bytes)
        if key in self._cached:
            self._remove(key)
        if size > most:
            return False
        while self._bytes.get(route, 0) + size > most:
            self._evict(next(iter(self._routes[route])))
        while self.bytes + size > self.max_bytes:
            self._evict(next(iter(self._cached)))
        self._cached[key] = (route, cached)
        self._routes.setdefault(route, OrderedDict())[key] = None
        self._bytes[route] = self._bytes.get(route, 0) + size
        self.bytes += size
        return True

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        prefix = "trunkline_translator_cache_"
        yield Sample(f"{prefix}bytes", "gauge", "Bytes of cached answers in memory.", self.bytes)
        yield Sample(f"{prefix}answers", "gauge", "Cached answers in memory.", len(self))
        yield Sample(f"{prefix}evicted_total", "counter", "Cached answers evicted for others.", self.evicted)

    def resize(self, max_bytes: int) -> None:
        """Changes the memory for all answers."""
        self.max_bytes = max_bytes
        while self.bytes > self.max_bytes:
            self._evict(next(iter(self._cached)))

    def _evict(self, key: bytes) -> None:
        self._remove(key)
        self.evicted += 1

    def _remove(self, key: bytes) -> None:
        route, cached = self._cached.pop(key)
        keys = self._routes[route]
        del keys[key]
        self._bytes[route] -= cached.size
        self.bytes -= cached.size
        if not keys:
            del self._routes[route], self._bytes[route]
