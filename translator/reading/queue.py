"""Decides whose body is read next: each key has a queue, and the keys take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from translator.errors import Refusal

T = TypeVar("T")

#: Most waiting bodies of one key and of all keys: their number, and their bytes.
KEY_NUMBER, KEY_BYTES = 256, 96 * 1024 * 1024
ALL_NUMBER, ALL_BYTES = 4_096, 384 * 1024 * 1024


class BodyQueue(Generic[T]):
    """Items of keys with their sizes in bytes; at most `together` items of one key are out at a time."""

    def __init__(self, together: int) -> None:
        self._together = together
        #: The waiting keys, in the order of their turns.
        self._waiting: OrderedDict[str, deque[tuple[T, int]]] = OrderedDict()
        self._bytes: dict[str, int] = {}
        self._out: dict[str, int] = {}
        self._number = 0
        self._size = 0

    def __len__(self) -> int:
        return self._number

    def put(self, key: str, item: T, size: int) -> None:
        """Adds an item. Raises Refusal: 429 if the key has too much waiting, 503 if all keys together have."""
        waiting = self._waiting.get(key)
        held = self._bytes.get(key, 0)
        if waiting and (len(waiting) >= KEY_NUMBER or held + size > KEY_BYTES):
            message = "Too many large requests of this API key are waiting to be read. Send fewer at a time."
            again = {"retry-after": "1"}
            raise Refusal(429, "rate_limit_exceeded", message, kind="rate_limit_error", headers=again)
        if self._number >= ALL_NUMBER or self._size + size > ALL_BYTES:
            message = "Too many large requests are waiting to be read. Try again later."
            raise Refusal(503, "overloaded", message, kind="server_error", headers={"retry-after": "1"})
        if waiting is None:
            waiting = self._waiting[key] = deque()
        waiting.append((item, size))
        self._count(key, 1, size)

    def take(self) -> tuple[str, T] | None:
        """Returns the next item and its key, which is out until `done`; None if no key may have a turn."""
        for key, waiting in self._waiting.items():
            if self._out.get(key, 0) < self._together:
                item, size = waiting.popleft()
                self._count(key, -1, -size)
                self._out[key] = self._out.get(key, 0) + 1
                self._waiting.move_to_end(key)
                self._drop_empty(key)
                return key, item
        return None

    def done(self, key: str) -> None:
        """Ends the turn of one of the key's items."""
        self._out[key] -= 1
        if not self._out[key]:
            del self._out[key]

    def remove(self, key: str, item: T) -> bool:
        """Removes an item. Returns whether it was waiting."""
        for entry in self._waiting.get(key, ()):
            if entry[0] is item:
                self._waiting[key].remove(entry)
                self._count(key, -1, -entry[1])
                self._drop_empty(key)
                return True
        return False

    def drain(self) -> list[T]:
        """Removes and returns all waiting items."""
        items = [item for waiting in self._waiting.values() for item, _ in waiting]
        self._waiting.clear()
        self._bytes.clear()
        self._number = self._size = 0
        return items

    def _count(self, key: str, number: int, size: int) -> None:
        self._number += number
        self._size += size
        self._bytes[key] = self._bytes.get(key, 0) + size

    def _drop_empty(self, key: str) -> None:
        if not self._waiting[key]:
            del self._waiting[key], self._bytes[key]
