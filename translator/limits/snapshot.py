"""The limits' state at one moment, taken in parts while requests go on: what changes meanwhile is copied first.

Tens of thousands of counters take tens of milliseconds, for which no request should have to wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from translator.limits.counters import Bucket, Counter
from translator.limits.reservation import Reservation

#: The places where a reservation counts: counter and bucket of each of its limits, tokens and cost last.
Places = tuple[tuple[Counter, Bucket], ...]
#: The unit of money in a part; the parts of an earlier version have no such mark (see `legacy`).
NANO_USD = "nano-usd"
#: Counters or reservations in one part, which takes some tenths of a millisecond.
_PART = 250


class LimitsSnapshot:
    """A snapshot of the `counters` by id and the `outstanding` reservations as they are now. `extra_part` is a
    finished part.
    """

    def __init__(
        self,
        counters: Mapping[str, Counter],
        outstanding: Iterable[tuple[Reservation, Places]],
        extra_part: Mapping[str, Any] | None = None,
    ) -> None:
        self._extra_part = extra_part
        self._names, self._counters = list(counters), list(counters.values())
        self._outstanding = list(outstanding)
        self._copies: dict[Counter, list[int]] = {}

    def copy_before_change(self, counters: Iterable[Counter]) -> None:
        """Copies counters that are about to change."""
        for found in counters:
            if found not in self._copies:
                self._copies[found] = found.state()

    def parts(self) -> Iterator[dict[str, Any]]:
        """Yields JSON values with their unit of `money`: `counters`, states by id, or `held`, reservations with
        the steps of their buckets.
        """
        if self._extra_part:
            yield {"money": NANO_USD, **self._extra_part}
        for begin in range(0, len(self._counters), _PART):
            part = slice(begin, begin + _PART)
            chosen = zip(self._names[part], self._counters[part], strict=True)
            yield {"money": NANO_USD, "counters": {name: self._state(found) for name, found in chosen}}
        for begin in range(0, len(self._outstanding), _PART):
            chunk = self._outstanding[begin : begin + _PART]
            yield {
                "money": NANO_USD,
                "held": [(reserved.fields, [bucket.step for _, bucket in places]) for reserved, places in chunk],
            }

    def _state(self, found: Counter) -> list[int]:
        copied = self._copies.get(found)
        return found.state() if copied is None else copied
