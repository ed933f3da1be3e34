"""Tracks answers on their way: identical requests that run at once wait for the first one. No I/O."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from translator.cache.answers import CachedAnswer
from translator.cache.key import CacheRule, Wanted
from translator.limits import Reservation

#: Most answers on their way that are tracked; further ones are not cached.
_MAX = 20_000
#: Seconds after which an answer without any news is given up: Envoy was killed.
_LONGEST = 3_600.0


class FlightResult(Enum):
    """How a flight ended."""

    CACHED = auto()
    CUT = auto()  # its client left: another request may fetch the answer
    FAILED = auto()  # the answer cannot be cached


@dataclass(slots=True, eq=False)
class Flight:
    """A request that fetches an answer that others may wait for.

    The request with the id `token` fetches what is `wanted` through `route`; `path` is the endpoint's. `cached` is
    the answer once it has arrived and may be cached.
    """

    token: str
    wanted: Wanted
    rule: CacheRule
    route: str
    path: str
    reservation: Reservation | None
    started: float
    waiting: list[asyncio.Future[FlightResult]] = field(default_factory=list)
    cached: CachedAnswer | None = None
    how: FlightResult | None = None

    def land(self, how: FlightResult) -> None:
        """Wakes all waiting requests."""
        self.how = how
        for future in self.waiting:
            if not future.done():
                future.set_result(how)
        self.waiting.clear()

    async def wait(self, seconds: float) -> FlightResult:
        """Waits until the flight has landed, for at most `seconds`."""
        if self.how is not None:
            return self.how  # the flight landed before the wait began
        future: asyncio.Future[FlightResult] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            # Unlike wait_for of Python 3.11, this is cancelled even if the flight lands at the same moment.
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return FlightResult.FAILED
        finally:
            if future in self.waiting:
                self.waiting.remove(future)


class Flights:
    """All answers on their way. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._by_token: OrderedDict[str, Flight] = OrderedDict()
        #: The flights that others wait for, by the wanted answer's digest and form.
        self._leading: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def leading(self, wanted: Wanted) -> Flight | None:
        """Returns the flight that fetches the wanted answer."""
        found = self._leading.get(wanted.key)
        return self._leading.get(wanted.other) if found is None and wanted.convertible else found

    def begin(self, flight: Flight) -> bool:
        """Adds a flight, which leads unless another one does. Returns False if there are too many."""
        self._give_up(flight.started)
        if flight.token in self._by_token:
            return True  # Envoy asks again
        if len(self._by_token) >= _MAX:
            return False
        self._by_token[flight.token] = flight
        self._leading.setdefault(flight.wanted.key, flight)
        return True

    def knows(self, token: str) -> bool:
        """Returns whether the request's answer is on its way."""
        return token in self._by_token

    def end(self, token: str) -> Flight | None:
        """Removes a flight whose answer has arrived or will not arrive. It keeps leading until it has `landed`."""
        return self._by_token.pop(token, None)

    def landed(self, flight: Flight, how: FlightResult) -> None:
        """Ends the lead of a removed flight and wakes all requests that wait for it."""
        if self._leading.get(flight.wanted.key) is flight:
            del self._leading[flight.wanted.key]
        flight.land(how)

    def _give_up(self, now: float) -> None:
        for token in self._old(now):
            flight = self.end(token)
            if flight is not None:
                self.landed(flight, FlightResult.FAILED)

    def _old(self, now: float) -> Iterator[str]:
        while self._by_token:
            token, flight = next(iter(self._by_token.items()))
            if flight.started > now - _LONGEST:
                return
            yield token
