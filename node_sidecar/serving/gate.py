"""The gate: how many requests this node runs at once, and for whom."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count

from node_sidecar.serving.refusal import Refusal

_RETRY_AFTER = 1  # seconds


class Access(Enum):
    """The callers that the node serves."""

    OPEN = auto()
    OWNER_ONLY = auto()
    CLOSED = auto()


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request in the queue. `turn` fails with Refusal if the request will not be served. `number` orders
    requests by arrival.
    """

    number: int
    turn: asyncio.Future[None]
    model: str


class Gate:
    """Admits at most `concurrency` requests at once (0: no limit) and queues up to `queue` more, the owner's
    first.

    Without `own_first`, all requests wait in order of arrival. A request whose model has no free slot lets others
    pass.

    Requests of others use at most `share` (0 to 1) of the concurrency, but at least one slot if `share` is above
    0.
    """

    def __init__(self, concurrency: int, queue: int, share: float = 1.0, *, own_first: bool = True) -> None:
        self._limit = concurrency
        self._capacity = queue
        self._share = share
        self._own_first = own_first
        self._numbers = count()
        self._others_limit = self._of_others(concurrency)
        self._models: Mapping[str, int] = {}
        self._running: Counter[str] = Counter()
        self._own_running = 0
        self._others_running = 0
        self._own: deque[_Waiting] = deque()
        self._others: deque[_Waiting] = deque()
        self._access = Access.OPEN
        self._reason = ""
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """The number of requests that a local server works on."""
        return self._own_running + self._others_running

    @property
    def queued(self) -> int:
        """The number of requests in the queue."""
        return len(self._own) + len(self._others)

    @property
    def limit(self) -> int:
        """The maximum of requests at once; 0: no limit."""
        return self._limit

    def set_limits(self, limit: int, models: Mapping[str, int]) -> None:
        """Runs at most `limit` requests at once from now on (0: no limit), and at most `models[m]` of them for the
        model m.

        Running requests above the new limits finish.
        """
        self._limit, self._models = limit, models
        self._others_limit = self._of_others(limit)
        self._admit()

    @property
    def draining(self) -> bool:
        """True while the gate refuses all requests, even the owner's."""
        return self._draining

    def open(self) -> None:
        """Serves everybody again."""
        self._set_access(Access.OPEN, "")

    def close_to_others(self, reason: str) -> None:
        """Serves only the owner. `reason` is shown to clients, e.g. `outside 22:00-06:00`."""
        self._set_access(Access.OWNER_ONLY, reason)

    def close(self, reason: str) -> None:
        """Serves nobody for the moment; running requests continue."""
        self._set_access(Access.CLOSED, reason)

    def drain(self) -> None:
        """Finishes running requests and accepts no new ones; refuses the queued ones, so that they go
        elsewhere.
        """
        self._draining = True
        self._dismiss()

    def resume(self) -> None:
        """Accepts requests again after `drain`."""
        self._draining = False

    async def idle(self) -> None:
        """Returns when nothing runs."""
        await self._idle.wait()

    def check(self, *, own: bool, model: str = "") -> None:
        """Raises Refusal if `enter` would refuse at once, so that the request's body need not be read.

        Without a `model`, only the limits of the node count.
        """
        if (refusal := self._closed(own=own)) is not None:
            raise refusal
        displaces = own and self._own_first and self._others
        if not self._free(own, model) and self.queued >= self._capacity and not displaces:
            raise _full()

    @asynccontextmanager
    async def enter(self, *, own: bool, model: str = "") -> AsyncIterator[None]:
        """Waits for a turn and holds a slot. Raises Refusal. On cancellation while waiting, it leaves the
        queue.
        """
        self.check(own=own, model=model)
        # Queued requests wait for slots that this one does not take: those that could run are running.
        if self._free(own, model):
            self._take(own, model)
        else:
            await self._wait(own, model)
        try:
            yield
        finally:
            self._leave(own, model)

    async def _wait(self, own: bool, model: str) -> None:
        """Returns with a slot taken."""
        if self.queued >= self._capacity:
            # `check` admits only an owner's request here: the last of the others makes room.
            turn = self._others.pop().turn
            if not turn.done():  # otherwise its client has just left
                turn.set_exception(_full())
        queue = self._own if own else self._others
        waiting = _Waiting(next(self._numbers), asyncio.get_running_loop().create_future(), model)
        queue.append(waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in queue:
                queue.remove(waiting)
            elif _had_turn(waiting.turn):
                self._leave(own, model)
            raise

    def _closed(self, *, own: bool) -> Refusal | None:
        if self._draining:
            return Refusal(503, "node_draining", "This node is finishing its work and takes no new requests.")
        if self._access is Access.CLOSED or (self._access is Access.OWNER_ONLY and not own):
            whom = "nobody" if self._access is Access.CLOSED else "its owner alone"
            reason = f" ({self._reason})" if self._reason else ""
            return Refusal(503, "node_closed", f"This node serves {whom} at the moment{reason}.")
        if not own and self._share <= 0:
            return Refusal(503, "node_closed", "This node serves only its owner.")
        return None

    def _of_others(self, limit: int) -> int:
        # The addend keeps 100 * 0.29 at 29.
        return max(1, int(limit * self._share + 1e-9))

    def _free(self, own: bool, model: str) -> bool:
        """Returns whether such a request may run now. An unknown `model` is not limited."""
        if self._running[model] >= self._models.get(model, self._running[model] + 1):
            return False
        if self._limit == 0:
            return True
        if self.in_flight >= self._limit:
            return False
        return own or self._others_running < self._others_limit

    def _take(self, own: bool, model: str) -> None:
        if own:
            self._own_running += 1
        else:
            self._others_running += 1
        self._running[model] += 1
        self._idle.clear()

    def _leave(self, own: bool, model: str) -> None:
        if own:
            self._own_running -= 1
        else:
            self._others_running -= 1
        self._running[model] -= 1
        if not self._running[model]:
            del self._running[model]
        self._admit()
        if not self.in_flight:
            self._idle.set()

    def _admit(self) -> None:
        while (found := self._next()) is not None:
            queue, waiting = found
            queue.remove(waiting)
            if not waiting.turn.done():  # otherwise its client has left
                self._take(queue is self._own, waiting.model)
                waiting.turn.set_result(None)

    def _next(self) -> tuple[deque[_Waiting], _Waiting] | None:
        """Returns the next request that may run, with its queue."""
        able = []
        for queue, own in ((self._own, True), (self._others, False)):
            first = next((each for each in queue if self._free(own, each.model)), None)
            if first is not None:
                able.append((queue, first))
        if not able or self._own_first:
            return able[0] if able else None
        return min(able, key=lambda found: found[1].number)

    def _set_access(self, access: Access, reason: str) -> None:
        self._access = access
        self._reason = reason
        self._dismiss()

    def _dismiss(self) -> None:
        """Refuses queued requests that would not be admitted any more."""
        for queue, own in ((self._own, True), (self._others, False)):
            while queue and (refusal := self._closed(own=own)) is not None:
                turn = queue.popleft().turn
                if not turn.done():
                    turn.set_exception(refusal)


def _had_turn(turn: asyncio.Future[None]) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None


def _full() -> Refusal:
    message = "This node is busy and its queue is full."
    return Refusal(429, "node_busy", message, retry_after=_RETRY_AFTER)
