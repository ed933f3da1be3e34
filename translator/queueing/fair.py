"""A weighted fair queue in two levels: organisations share the places by their weights, and so do the keys of each
organisation.

Start-time fair queueing (Goyal, Vin, Cheng 1996) with every request as one unit of work: each contender has a
virtual time that advances by 1/weight whenever it is served, and the contender with the lowest virtual time is
next. A contender that begins to wait starts at the others' virtual time, so waiting earns no credit. One that left
ahead of the others starts where it was, so leaving and returning gains nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Generic, NamedTuple, Protocol, TypeVar

E = TypeVar("E", bound="Entry")

#: Most contenders whose virtual time is remembered after they left; the settled ones are forgotten first.
_REMEMBERED = 256


class Flow(NamedTuple):
    """The organisation and key of a waiting request, with their current weights."""

    organisation: str
    organisation_weight: int
    key: str
    key_weight: int


class Entry(Protocol):
    """A waiting request, hashed by identity."""

    @property
    def flow(self) -> Flow:
        """Returns the organisation and key with their current weights, which may have changed while the request
        waited.
        """


class _Contender(ABC):
    """A contender. `passed` is its virtual time. It is passed over while it is `parked`."""

    __slots__ = ("parked", "passed", "weight")

    def __init__(self, passed: float, weight: int) -> None:
        self.passed = passed
        self.weight = weight
        self.parked = False

    @abstractmethod
    def __len__(self) -> int:
        """Returns the number of its requests that wait."""

    @property
    def backlog(self) -> float:
        return len(self) / self.weight

    def served_before(self, moment: float) -> int:
        """Returns how many of its requests are served before its virtual time reaches `moment`."""
        return min(len(self), max(0, math.ceil((moment - self.passed) * self.weight)))


class _Key(_Contender, Generic[E]):
    """`entries` and those that are set aside, with their places in the order of arrival."""

    __slots__ = ("aside", "entries", "last")

    def __init__(self, passed: float, weight: int) -> None:
        super().__init__(passed, weight)
        self.entries: OrderedDict[E, int] = OrderedDict()
        self.aside: dict[E, int] = {}
        self.last = 0

    def __len__(self) -> int:
        return len(self.entries) + len(self.aside)

    def newest(self) -> E:
        """Returns the entry that arrived last."""
        ends = [reversed(each.items()) for each in (self.entries, self.aside) if each]
        return max((next(each) for each in ends), key=lambda each: each[1])[0]

    def all(self) -> Iterator[E]:
        """Yields the entries, first those that have a turn."""
        yield from self.entries
        yield from self.aside


class _Organisation(_Contender, Generic[E]):
    __slots__ = ("keys", "size")

    def __init__(self, passed: float, weight: int) -> None:
        super().__init__(passed, weight)
        self.keys: _Contest[_Key[E]] = _Contest(_Key)
        self.size = 0

    def __len__(self) -> int:
        return self.size


C = TypeVar("C", bound=_Contender)


class _Contest(Generic[C]):
    """Contenders by name, and the virtual time of the one that was served last."""

    def __init__(self, made: Callable[[float, int], C]) -> None:
        self._made = made
        self.waiting: dict[str, C] = {}
        self.now = 0.0
        self._left: dict[str, float] = {}

    def joined(self, name: str, weight: int) -> C:
        found = self.waiting.get(name)
        if found is None:
            found = self.waiting[name] = self._made(self.start(name), weight)
            self._left.pop(name, None)
        found.weight = weight
        return found

    def start(self, name: str) -> float:
        """Returns the virtual time of a contender that waits, or begins to wait now."""
        found = self.waiting.get(name)
        return found.passed if found is not None else max(self.now, self._left.get(name, 0.0))

    def leave(self, name: str) -> None:
        left = self.waiting.pop(name)
        if left.passed > self.now:
            self._left[name] = left.passed
        if len(self._left) > _REMEMBERED:
            self._left = {name: passed for name, passed in self._left.items() if passed > self.now}

    def next(self) -> str | None:
        """Returns the contender with the lowest virtual time, if any may be served."""
        best, least = None, math.inf
        for name, each in self.waiting.items():
            if each.passed < least and not each.parked:
                best, least = name, each.passed
        return best

    def serve(self, name: str) -> None:
        served = self.waiting[name]
        self.now = max(self.now, served.passed)
        served.passed += 1 / served.weight

    def ahead(self, name: str, weight: int, position: int) -> int:
        """Returns how many requests are served before the one at `position` (from 0) among those of `name`."""
        moment = self.start(name) + position / weight
        others = (each for other, each in self.waiting.items() if other != name and not each.parked)
        return position + sum(each.served_before(moment) for each in others)


class FairQueue(Generic[E]):
    """The queue. It has no bounds of its own: see `line`."""

    def __init__(self) -> None:
        self._organisations: _Contest[_Organisation[E]] = _Contest(_Organisation)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, entry: E) -> None:
        """Adds `entry` after all others of its key."""
        flow = entry.flow
        organisation = self._organisations.joined(flow.organisation, flow.organisation_weight)
        key = organisation.keys.joined(flow.key, flow.key_weight)
        key.last += 1
        key.entries[entry] = key.last
        if key.aside and len(key.entries) == 1:
            key.parked = False  # it may have been parked because all its entries are set aside
        if not key.parked:
            organisation.parked = False  # it may have been parked because all its other keys are
        organisation.size += 1
        self._size += 1

    def first(self) -> E | None:
        """Returns the entry whose turn is next without removing it; None if everything that waits is parked."""
        name = self._organisations.next()
        while name is not None:
            organisation = self._organisations.waiting[name]
            key = organisation.keys.next()
            if key is not None:
                return next(iter(organisation.keys.waiting[key].entries))
            organisation.parked = True  # all its keys are parked
            name = self._organisations.next()
        return None

    def serve(self, entry: E) -> None:
        """Removes an entry that got its turn, and charges its key and organisation for it."""
        self._organisations.waiting[entry.flow.organisation].keys.serve(entry.flow.key)
        self._organisations.serve(entry.flow.organisation)
        self.remove(entry)

    def remove(self, entry: E) -> None:
        """Removes an entry from anywhere in the queue, without charge."""
        flow = entry.flow
        organisation = self._organisations.waiting[flow.organisation]
        key = organisation.keys.waiting[flow.key]
        if key.aside.pop(entry, None) is None:
            del key.entries[entry]
            key.parked = key.parked or not key.entries
        organisation.size -= 1
        self._size -= 1
        if not len(key):
            organisation.keys.leave(flow.key)
        if not organisation.size:
            self._organisations.leave(flow.organisation)
        if not self._size:
            self._organisations = _Contest(_Organisation)

    def park(self, organisation: str, key: str = "") -> None:
        """Passes over an organisation, or one key of it, until `unpark`."""
        found = self._organisations.waiting[organisation]
        if key:
            found.keys.waiting[key].parked = True
        else:
            found.parked = True

    def unpark(self, organisation: str, key: str = "") -> None:
        """Ends the parking of an organisation or key, which may have left."""
        found = self._organisations.waiting.get(organisation)
        if found is not None:
            # Unpark the organisation too: it is parked when all its keys are.
            found.parked = False
            if key and key in found.keys.waiting:
                own = found.keys.waiting[key]
                own.parked = not own.entries  # all may be set aside

    def set_aside(self, entry: E) -> None:
        """Passes over one entry until `bring_back`."""
        key = self._organisations.waiting[entry.flow.organisation].keys.waiting[entry.flow.key]
        key.aside[entry] = key.entries.pop(entry)
        key.parked = key.parked or not key.entries

    def bring_back(self, organisation: str, key: str, wanted: Callable[[E], bool]) -> None:
        """Gives those of a key's entries that are set aside and `wanted` their places again."""
        found = self._organisations.waiting.get(organisation)
        own = found.keys.waiting.get(key) if found is not None else None
        back = [each for each in own.aside if wanted(each)] if own is not None else []
        if own is None or not back:
            return
        for entry in back:
            own.entries[entry] = own.aside.pop(entry)
        own.entries = OrderedDict(sorted(own.entries.items(), key=lambda each: each[1]))
        self.unpark(organisation, key)

    def ahead(self, flow: Flow, entry: E | None = None) -> int:
        """Returns how many requests are served before `entry`, or before a request of `flow` that joins now, if no
        others come.
        """
        found = self._organisations.waiting.get(flow.organisation)
        position = 0
        if found is not None:
            own = found.keys.waiting.get(flow.key)
            before = takewhile(lambda each: each is not entry, own.all()) if own is not None else ()
            position = found.keys.ahead(flow.key, flow.key_weight, sum(1 for _ in before))
        return self._organisations.ahead(flow.organisation, flow.organisation_weight, position)

    def ranked(self) -> Iterator[tuple[E, int]]:
        """Yields every waiting entry, in no order, with the number of those that are served before it if no others
        come.
        """
        for name, organisation in self._organisations.waiting.items():
            for key_name, key in organisation.keys.waiting.items():
                for index, entry in enumerate(key.all()):
                    position = organisation.keys.ahead(key_name, key.weight, index)
                    yield entry, self._organisations.ahead(name, organisation.weight, position)

    def by_key(self) -> Iterator[tuple[E, ...]]:
        """Yields the waiting entries of each key."""
        for organisation in self._organisations.waiting.values():
            for key in organisation.keys.waiting.values():
                yield tuple(key.all())

    def greediest(self, flow: Flow) -> E | None:
        """Returns the newest entry of the contender that would have the most waiting for its weight if a request
        of `flow` joined; None if that is the request itself.
        """
        waiting = self._organisations.waiting
        largest, organisation = self._largest(waiting, flow.organisation, flow.organisation_weight)
        if organisation is None:
            return None
        joins = flow.key if largest == flow.organisation else ""
        name, key = self._largest(organisation.keys.waiting, joins, flow.key_weight)
        return key.newest() if key is not None and name != joins else None

    @staticmethod
    def _largest(waiting: dict[str, C], joins: str, weight: int) -> tuple[str, C | None]:
        """Returns the contender with the largest backlog for its weight, counting one more for `joins`, which wins
        ties; None for its value if it has nothing waiting yet.
        """
        found = waiting.get(joins)
        name, most = joins, ((len(found) if found is not None else 0) + 1) / weight if joins else 0.0
        for other, each in waiting.items():
            if other != joins and each.backlog > most:
                name, most = other, each.backlog
        return name, waiting.get(name)
