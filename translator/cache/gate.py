"""Decides about a request of a route that caches: a kept answer, one that is on its way to somebody else, or a
fresh one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Protocol

from translator.cache import answers
from translator.cache.answers import Kept
from translator.cache.flights import Flight, Flights, Landed
from translator.cache.key import Asker, Rule, Wanted, wanted as wanted_by
from translator.endpoints import Endpoint
from translator.http.message import Request
from translator.limits import Reservation
from translator.metrics import Sample
from translator.questions.frames import Allowed, Answered, Copied, Passed

HEADER = "x-trunkline-cache"
#: Seconds that a request waits for an identical one (Envoy's module waits 10 for us), and how often it tries to be
#: the next one that leads.
_LONGEST_WAIT = 8.0
_MOST_ROUNDS = 8
#: Seconds after the end of a request until its answer, which travels beside the notice, is given up.
_GRACE = 5.0
#: Bytes of an answer that is looked at on the loop.
_LIGHT = 32 * 1024


class Store(Protocol):
    """Keeps answers. None of its methods raises: what cannot be had is not there."""

    def get(self, key: bytes) -> Kept | Awaitable[Kept | None] | None: ...
    def put(self, key: bytes, route: str, kept: Kept, most_of_route: int = 0) -> object: ...
    def samples(self) -> Iterable[Sample]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what may become of it: `fresh` sends it to a target, and `from_kept` answers it. `held`
    returns what it has reserved. `again` raises Refusal if the client may no longer ask, after it had to wait.
    """

    request: Request
    id: str
    asker: Asker
    rule: Rule
    endpoint: Endpoint
    body: bytes
    fresh: Callable[[], Allowed]
    from_kept: Callable[[Kept, str, bytes], Answered]
    held: Callable[[], Reservation | None]
    again: Callable[[], object]


class CacheGate:
    """`worth` says what an answer cost, in nano-USD. `clock` gives Unix seconds."""

    def __init__(
        self,
        store: Store,
        worth: Callable[[Reservation, Passed], int] = lambda _, __: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._worth = worth
        self._clock = clock
        self._flights = Flights()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = dict.fromkeys(("hit", "miss", "stored", "bypass", "waited", "kept", "not_kept"), 0)

    def decide(self, asked: Asked) -> Allowed | Answered | Coroutine[object, object, Allowed | Answered]:
        """Returns what Envoy does with the request, at once if nothing has to be waited for.

        Raises:
            Refusal: the client's answer.
        """
        control = asked.request.headers.get(b"cache-control", b"").lower()
        wanted = None
        if asked.body and b"no-store" not in control:
            wanted = wanted_by(asked.asker, asked.rule, asked.endpoint, asked.request.target, asked.body)
        if wanted is None:
            return self._told(asked.fresh(), "bypass")
        if b"no-cache" in control:
            return self._fetch(asked, wanted, "stored")
        found = self._find(wanted)
        if isinstance(found, Kept):
            served = self._serve(asked, wanted, found)
            if served is not None:
                return served
        elif found is not None:
            return self._eventually(asked, wanted, found)
        leading = self._flights.leading(wanted)
        if leading is None or leading.token == asked.id:
            return self._fetch(asked, wanted, "miss")
        return self._eventually(asked, wanted, None)

    def copied(self, copy: Copied) -> None:
        """Takes in what Envoy's module tells of an answer that it was to copy. The token may be unknown."""
        flight = self._flights.end(copy.token)
        if flight is None:
            return
        if copy.passed is None:
            self._counts["not_kept"] += 1
            flight.land(Landed.CUT if copy.cut else Landed.FAILED)
        elif len(copy.passed.body) <= _LIGHT:
            self._land(flight, copy.passed, answers.keep(copy.passed, flight.wanted, flight.path))
        else:
            task = asyncio.create_task(self._land_later(flight, copy.passed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def ended(self, request_id: str) -> None:
        """A request is over, or never began: its answer is not waited for much longer."""
        if self._flights.knows(request_id):
            asyncio.get_running_loop().call_later(_GRACE, self._give_up, request_id)

    def samples(self) -> Iterable[Sample]:
        """For `/metrics`."""
        help_text = "Requests of routes that cache, and answers that were kept or not."
        yield Sample("trunkline_translator_cache_total", "counter", help_text, dict(self._counts), "what")
        yield from self.store.samples()

    async def close(self) -> None:
        """Ends what is still looked at."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _eventually(
        self, asked: Asked, wanted: Wanted, finding: Awaitable[Kept | None] | None
    ) -> Allowed | Answered:
        until = time.monotonic() + _LONGEST_WAIT
        found = await finding if finding is not None else None
        for _ in range(_MOST_ROUNDS):
            served = self._serve(asked, wanted, found) if found is not None else None
            if served is not None:
                return served
            leading = self._flights.leading(wanted)
            if leading is None or leading.token == asked.id:
                break
            self._counts["waited"] += 1
            landed = await leading.wait(until - time.monotonic())
            asked.again()
            if landed is Landed.FAILED:
                break
            if landed is Landed.KEPT:
                found = await self._found(wanted)
        return self._fetch(asked, wanted, "miss")

    async def _found(self, wanted: Wanted) -> Kept | None:
        found = self._find(wanted)
        return found if found is None or isinstance(found, Kept) else await found

    def _find(self, wanted: Wanted) -> Kept | Awaitable[Kept | None] | None:
        found = self.store.get(wanted.key)
        if found is None and wanted.convertible:
            return self.store.get(wanted.other)
        return found

    def _serve(self, asked: Asked, wanted: Wanted, kept: Kept) -> Answered | None:
        made = answers.given(kept, wanted)
        if made is None:
            return None
        answered = asked.from_kept(kept, *made)
        answered.headers[HEADER] = "hit"
        answered.headers["age"] = str(max(0, int(self._clock() - kept.at)))
        self._counts["hit"] += 1
        return answered

    def _fetch(self, asked: Asked, wanted: Wanted, how: str) -> Allowed:
        allowed = self._told(asked.fresh(), how)
        flight = Flight(
            asked.id, wanted, asked.rule, asked.asker.route, asked.endpoint.path, asked.held(), time.monotonic()
        )
        if self._flights.begin(flight):
            allowed.copy = asked.id
        return allowed

    def _told(self, allowed: Allowed, how: str) -> Allowed:
        allowed.headers[HEADER] = how
        self._counts[how] += 1
        return allowed

    def _land(self, flight: Flight, passed: Passed, kept: Kept | None) -> None:
        if kept is not None:
            kept.at = self._clock()
            kept.until = kept.at + flight.rule.ttl
            kept.saved = self._worth(flight.held, passed) if flight.held is not None else 0
            self.store.put(flight.wanted.key, flight.route, kept, flight.rule.most_bytes)
        self._counts["kept" if kept is not None else "not_kept"] += 1
        flight.land(Landed.KEPT if kept is not None else Landed.FAILED)

    async def _land_later(self, flight: Flight, passed: Passed) -> None:
        try:
            kept = await asyncio.to_thread(answers.keep, passed, flight.wanted, flight.path)
            self._land(flight, passed, kept)
        finally:
            flight.land(Landed.FAILED)

    def _give_up(self, token: str) -> None:
        flight = self._flights.end(token)
        if flight is not None:
            flight.land(Landed.CUT)
