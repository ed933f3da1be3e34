"""The line of one route: bounded, fair, and able to forecast how long a request will wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from translator.queueing.fair import Entry, FairQueue, Flow
from translator.queueing.rate import PlaceRate

W = TypeVar("W", bound=Entry)


class Forecast(NamedTuple):
    """`position` is 1 for the request whose turn is next; `seconds` is the expected wait, None while it is
    unknown.
    """

    position: int
    seconds: float | None


class Line(Generic[W]):
    """The waiting requests of a route. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._queue: FairQueue[W] = FairQueue()
        self._rate = PlaceRate()

    def __len__(self) -> int:
        return len(self._queue)

    def join(self, waiter: W, size: int, at: float) -> W | None:
        """Adds `waiter`. If `size` requests wait already, returns the one that has to go: the newest request of
        the contender with the most waiting for its weight, so that no contender can fill the line. It may be
        `waiter` itself.
        """
        gone = None
        if len(self._queue) >= size:
            gone = self._queue.greediest(waiter.flow)
            if gone is None:
                return waiter
            self._queue.remove(gone)
        elif not self._queue:
            self._rate.begin(at)
        self._queue.push(waiter)
        return gone

    def first(self) -> W | None:
        """Returns the request whose turn is next; None if all wait for limits of their own."""
        return self._queue.first()

    def serve(self, waiter: W, at: float) -> None:
        """Removes a request that got a place."""
        self._queue.serve(waiter)
        self._rate.served(at)
        self._ended(at)

    def remove(self, waiter: W, at: float) -> None:
        """Removes a request that got no place."""
        self._queue.remove(waiter)
        self._ended(at)

    def park(self, organisation: str, key: str = "") -> None:
        """Passes over an organisation, or one of its keys, whose own limit is reached."""
        self._queue.park(organisation, key)

    def unpark(self, organisation: str, key: str = "") -> None:
        """Lets the requests of an organisation, or of one of its keys, have their turns again."""
        self._queue.unpark(organisation, key)

    def set_aside(self, waiter: W) -> None:
        """Passes over one that waits for a limit of its own."""
        self._queue.set_aside(waiter)

    def bring_back(self, organisation: str, key: str, wanted: Callable[[W], bool]) -> None:
        """Gives those of a key that are set aside and `wanted` their places again."""
        self._queue.bring_back(organisation, key, wanted)

    def forecast(self, flow: Flow, at: float) -> Forecast:
        """Returns the forecast of a request of `flow` that joins now."""
        return self._forecast(self._queue.ahead(flow), at)

    def position(self, waiter: W, at: float) -> Forecast:
        """Returns the forecast of a waiting request."""
        return self._forecast(self._queue.ahead(waiter.flow, waiter), at)

    def positions(self, at: float) -> Iterator[tuple[W, Forecast]]:
        """Yields every waiting request with its forecast, in no order."""
        rate = self._rate.per_second(at)
        for waiter, ahead in self._queue.ranked():
            yield waiter, Forecast(ahead + 1, (ahead + 1) / rate if rate else None)

    def by_key(self) -> Iterator[tuple[W, ...]]:
        """Yields the waiting requests of each key."""
        return self._queue.by_key()

    def clears(self, at: float) -> float | None:
        """Returns the seconds until all waiting requests are served; None while that is unknown."""
        return self._forecast(len(self._queue) - 1, at).seconds

    def _forecast(self, ahead: int, at: float) -> Forecast:
        rate = self._rate.per_second(at)
        return Forecast(ahead + 1, (ahead + 1) / rate if rate else None)

    def _ended(self, at: float) -> None:
        if not self._queue:
            self._rate.end(at)
