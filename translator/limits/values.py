"""The limits of each end user or tag: one limit per value, each with a counter of its own, in a bounded table.

At most `MAX` values of one limit have a counter of their own; of a route's limit, `MAX` of each organisation, so
that none takes the others' room. A further value replaces one whose counter counts nothing any more; if there is
none, all further values share one limit.
"""

from __future__ import annotations

from dataclasses import replace

from translator.limits.limit import HolderLimit, values_together

#: Most values that are counted separately; each takes some 500 bytes.
MAX = 10_000
#: Stands for all values without a counter of their own; no value is written like this (see `metering.label`).
_OVERFLOW = "%"


def overflow(value: str, each: HolderLimit) -> str:
    """Returns what stands for `value`, and others that are bounded with it, if it has no counter of its own."""
    return f"{value.partition('/')[0]}/{_OVERFLOW}" if each.holder == "route" else _OVERFLOW


def is_overflow(value: str) -> bool:
    """Returns whether a value stands for all those without a counter of their own, as `overflow` writes it."""
    return value.rpartition("/")[2] == _OVERFLOW


class Values:
    """The values that have a counter, by the ids of their limits."""

    def __init__(self) -> None:
        #: The ids of the counters that are bounded together, least recently used first, by `values_together`.
        self._counted: dict[str, dict[str, None]] = {}
        #: By the counters' ids: the limit of the value, and the configured limit that it was derived from.
        self._made: dict[str, tuple[HolderLimit, HolderLimit]] = {}
        #: Requests that were counted in a shared limit.
        self.overflows = 0
        self._overflowed: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._counted.values()))

    def limit(self, each: HolderLimit, value: str) -> HolderLimit:
        """Returns the limit of one value, which may have no counter yet."""
        counter_id = f"{each.id} {value}"
        made = self._made.get(counter_id)
        if made is not None and made[0] is each:
            return made[1]
        limit = replace(each, value=value)
        if made is not None:
            self._made[counter_id] = (each, limit)
        return limit

    def used(self, limit: HolderLimit, each: HolderLimit) -> None:
        """Marks a value's counter as the most recently used."""
        counted = self._counted.get(values_together(limit.id))
        if counted is not None and limit.id in counted:
            del counted[limit.id]
            counted[limit.id] = None
            self._made.setdefault(limit.id, (each, limit))

    def is_full(self, limit: HolderLimit) -> bool:
        """Returns whether `limit` has no counter and the table has no room for one."""
        counted = self._counted.get(values_together(limit.id))
        return counted is not None and len(counted) >= MAX and limit.id not in counted

    def oldest(self, limit: HolderLimit, number: int) -> list[str]:
        """Returns the ids of the least recently used counters that are bounded together with that of `limit`; the
        next call returns others.
        """
        counted = self._counted[values_together(limit.id)]
        found = [name for name, _ in zip(counted, range(number), strict=False)]
        for name in found:
            del counted[name]
            counted[name] = None
        return found

    def overflowed(self, each: HolderLimit) -> bool:
        """Counts a request in the shared limit. Returns whether it is the first one."""
        self.overflows += 1
        first = each.id not in self._overflowed
        self._overflowed.add(each.id)
        return first

    def add(self, counter_id: str) -> None:
        """Adds a counter. Does nothing for a counter of a limit without values, or of the shared limit."""
        together = values_together(counter_id)
        if together and not is_overflow(counter_id.rpartition(" ")[2]):
            self._counted.setdefault(together, {})[counter_id] = None

    def discard(self, counter_id: str) -> None:
        """Forgets a counter."""
        counted = self._counted.get(together := values_together(counter_id))
        if counted is not None:
            counted.pop(counter_id, None)
            self._made.pop(counter_id, None)
            if not counted:
                del self._counted[together]
