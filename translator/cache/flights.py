"""Which answers are on their way: identical requests that run at once wait for the first one. No I/O."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from translator.cache.answers import CachedAnswer
from translator.cache.key import Rule, Wanted
from translator.limits import Reservation

#: Answers on their way that are known; whatever is beyond them is not kept.
_MOST = 20_000
#: Seconds after which an answer of which nothing was heard is given up: Envoy was killed.
_LONGEST = 3_600.0


class FlightResult(Enum):
    """How an answer ended."""

    CACHED = auto()
    CUT = auto()  # its client left: somebody else may fetch it
    FAILED = auto()  # it is none that could be kept


@dataclass(slots=True, eq=False)
class Flight:
    """The request with the id `token` fetches what is `wanted` through `route`. `path` is the endpoint's. `cached`
    is the answer, where it landed as one that may be kept.
    """

    token: str
    wanted: Wanted
    rule: Rule
    route: str
    path: str
    reservation: Reservation | None
    begun: float
    waiting: list[asyncio.Future[FlightResult]] = field(default_factory=list)
    cached: CachedAnswer | None = None
    how: FlightResult | None = None

    def land(self, how: FlightResult) -> None:
        """Wakes all that wait."""
        self.how = how
        for future in self.waiting:
            if not future.done():
                future.set_result(how)
        self.waiting.clear()

    async def wait(self, seconds: float) -> FlightResult:
        """Waits until it has landed, but for so long only."""
        if self.how is not None:
            return self.how  # before this one began to wait
        future: asyncio.Future[FlightResult] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return FlightResult.FAILED
        finally:
            if future in self.waiting:
                self.waiting.remove(future)


class Flights:
    """All that are on their way. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._by_token: OrderedDict[str, Flight] = OrderedDict()
        #: Those that others wait for, by the digest of what they want and by its form.
        self._leading: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def leading(self, wanted: Wanted) -> Flight | None:
        """Returns the flight whose answer is what is wanted."""
        found = self._leading.get(wanted.key)
        return self._leading.get(wanted.other) if found is None and wanted.convertible else found

    def begin(self, flight: Flight) -> bool:
        """Takes in a flight, which leads unless another one does. Returns False where there are too many."""
        self._give_up(flight.begun)
        if flight.token in self._by_token:
            return True  # Envoy asks again
        if len(self._by_token) >= _MOST:
            return False
        self._by_token[flight.token] = flight
        self._leading.setdefault(flight.wanted.key, flight)
        return True

    def knows(self, token: str) -> bool:
        """Returns whether the request is on its way."""
        return token in self._by_token

    def end(self, token: str) -> Flight | None:
        """Takes out a flight whose answer has come, or will not. It leads until it has `landed`."""
        return self._by_token.pop(token, None)

    def landed(self, flight: Flight, how: FlightResult) -> None:
        """A flight that was taken out leads no longer, and all that wait for it are woken."""
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
            if flight.begun > now - _LONGEST:
                return
            yield token
