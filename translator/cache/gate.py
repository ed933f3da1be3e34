"""Decides about a request of a route that caches: it gets a cached answer, waits for an identical request, or goes
to a target.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from translator.bodies.facts import BodyFacts
from translator.cache import answers
from translator.cache.answers import CachedAnswer
from translator.cache.flights import Flight, FlightResult, Flights
from translator.cache.key import CacheRule, Content, Requester, Wanted, content_of, wanted as wanted_by
from translator.cache.memory import MemoryStore
from translator.cache.recognised import RecognisedBodies, Repeated
from translator.cache.stores import AnswerStore, Stores
from translator.checks.answers import Allowed, Answered, Queued
from translator.checks.frames import Copied, Passed
from translator.checks.waits import Waits
from translator.credentials import account
from translator.endpoints import Endpoint
from translator.errors import NoPlace
from translator.limits import Reservation
from translator.message import Request
from translator.metrics import Sample

HEADER = "x-trunkline-cache"
#: What Envoy does with a request. A request that waits for an identical one is decided later.
Decision = Allowed | Answered | Waits[Answered | Exception]
#: Most seconds that a request waits for an identical one: Envoy ends a stream without activity after 300.
_LONGEST_WAIT = 240.0
#: Seconds after the end of a request until its answer, which may arrive after the notice, is given up.
_GRACE = 5.0
#: Bytes up to which an answer is examined on the event loop.
_LIGHT = 32 * 1024


#: Makes the answer to a request from a cached one, given its content-type and body in the wanted form.
FromCached = Callable[[CachedAnswer, str, bytes], Answered]


@dataclass(slots=True)
class Lookup:
    """A request with the operations that the gate may use for it. `facts` are those of the body as it was sent;
    the gate sets `content`.

    `fresh` sends the request to a target, `from_cached` answers it, and `reservation` returns what it has
    reserved. `again` raises Refusal if the client may no longer ask, after the request had to wait.

    If `fresh` raises NoPlace, the request can `join` a line if there is one. Its argument is tried when the
    request's turn comes, with a function that then sends the request to a target.
    """

    request: Request
    id: str
    requester: Requester
    rule: CacheRule
    endpoint: Endpoint
    body: bytes
    values: Mapping[str, Any] | None
    facts: BodyFacts
    fresh: Callable[[], Allowed]
    from_cached: FromCached
    reservation: Callable[[], Reservation | None]
    again: Callable[[], object]
    join: Callable[[Callable[[Callable[[], Allowed]], Decision]], Waits[Answered | Exception]] | None = None
    content: Content | None = None


class CacheGate:
    """Decides about requests. `cost_of` returns what an answer cost, in nano-USD. `clock` gives Unix seconds."""

    def __init__(
        self,
        stores: Stores,
        cost_of: Callable[[Reservation, Passed], int] = lambda _, __: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stores = stores
        self._cost_of = cost_of
        self._clock = clock
        self._flights = Flights()
        self._bodies = RecognisedBodies()
        #: Finds what was read in a body that got a cached answer before.
        self.recognise = self._bodies.find
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = dict.fromkeys(("hit", "miss", "stored", "bypass", "waited", "kept", "not_kept"), 0)

    def decide(self, lookup: Lookup) -> Decision | Coroutine[object, object, Decision]:
        """Returns what Envoy does with the request, at once unless the store has to be awaited.

        Raises:
            Refusal: the client's answer.
        """
        control = lookup.request.headers.get(b"cache-control", b"").lower()
        wanted = None
        if lookup.body and b"no-store" not in control:
            lookup.content = content_of(lookup.endpoint, lookup.body, lookup.values)
            if lookup.content is not None:
                wanted = _wanted(lookup.request, lookup.requester, lookup.rule, lookup.content)
        if wanted is None:
            return self._in_turn(lookup, lambda forward: self._with_outcome(forward(), "bypass"))
        if b"no-cache" in control:
            return self._in_turn(lookup, lambda forward: self._fetch(lookup, wanted, "stored", forward))
        found = _find(self._stores.of(lookup.rule), wanted)
        if found is None or isinstance(found, CachedAnswer):
            return self._decide_with(lookup, wanted, found)
        return self._decide_when_found(lookup, wanted, found)

    def repeat(
        self,
        repeated: Repeated,
        request: Request,
        requester: Requester,
        rule: CacheRule,
        from_cached: FromCached,
    ) -> Answered | None:
        """Answers a request with a recognised body; None if it has to be decided like any other.

        Raises:
            Refusal: the client's answer.
        """
        store = self._stores.of(rule)
        if request.headers.get(b"cache-control") or not isinstance(store, MemoryStore):
            return None
        wanted = _wanted(request, requester, rule, repeated.content)
        found = _find(store, wanted) if wanted is not None else None
        if wanted is None or not isinstance(found, CachedAnswer):
            return None
        return self._serve(rule, wanted, found, from_cached)

    def copied(self, copy: Copied) -> None:
        """Takes the copy of an answer from Envoy's module. The token may be unknown."""
        flight = self._flights.end(copy.token)
        if flight is None:
            return
        if copy.passed is None:
            self._counts["not_kept"] += 1
            self._flights.landed(flight, FlightResult.CUT if copy.cut else FlightResult.FAILED)
        elif len(copy.passed.body) <= _LIGHT:
            self._take(flight, copy.passed, answers.cacheable(copy.passed, flight.wanted, flight.path))
        else:
            self._start(self._examine_and_take(flight, copy.passed))

    def ended(self, request_id: str) -> None:
        """Takes the end of a request, whose answer is given up after a grace period."""
        if self._flights.knows(request_id):
            asyncio.get_running_loop().call_later(_GRACE, self._give_up, request_id)

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        help_text = "Requests of routes that cache, by outcome, and answers that were cached or not."
        yield Sample("trunkline_translator_cache_total", "counter", help_text, dict(self._counts), "what")
        yield from self._stores.samples()

    async def close(self) -> None:
        """Cancels the answers that are still being examined."""
        for task in tuple(self._tasks):
            task.cancel()
        await self._stores.close()

    async def _decide_when_found(
        self, lookup: Lookup, wanted: Wanted, finding: Awaitable[CachedAnswer | None]
    ) -> Decision:
        return self._decide_with(lookup, wanted, await finding)

    def _decide_with(self, lookup: Lookup, wanted: Wanted, found: CachedAnswer | None) -> Decision:
        """Decides about the request, for which the cache has `found`."""
        served = self._serve(lookup.rule, wanted, found, lookup.from_cached) if found is not None else None
        if served is None:
            return self._wait_or_fetch(lookup, wanted)
        if lookup.content is not None:
            repeated = Repeated(lookup.body, lookup.endpoint, lookup.facts, lookup.content)
            self._bodies.remember(lookup.requester.organisation, repeated)
        return served

    def _wait_or_fetch(self, lookup: Lookup, wanted: Wanted) -> Decision:
        """Lets the request wait for an identical one, or sends it to a target."""

        def attempt(forward: Callable[[], Allowed]) -> Decision:
            leading = self._leading(lookup, wanted)
            if leading is not None:
                return self._wait(lookup, wanted, leading)
            store = self._stores.of(lookup.rule)
            if forward is not lookup.fresh and isinstance(store, MemoryStore):
                # The request has waited, so its answer may be cached by now. An outside store is not asked again.
                found = _find(store, wanted)
                if isinstance(found, CachedAnswer):
                    served = self._serve(lookup.rule, wanted, found, lookup.from_cached)
                    if served is not None:
                        return served
            return self._fetch(lookup, wanted, "miss", forward)

        return self._in_turn(lookup, attempt)

    def _in_turn(self, lookup: Lookup, attempt: Callable[[Callable[[], Allowed]], Decision]) -> Decision:
        """Makes the attempt now or, if there is no place for the request, when its turn comes."""
        try:
            return attempt(lookup.fresh)
        except NoPlace:
            if lookup.join is None:
                raise
            lookup.body, lookup.values = b"", None  # the request may wait for long
            return lookup.join(attempt)

    def _leading(self, lookup: Lookup, wanted: Wanted) -> Flight | None:
        """Returns the running identical request, unless it is this request, about which Envoy asks again."""
        leading = self._flights.leading(wanted)
        return leading if leading is not None and leading.token != lookup.id else None

    def _wait(self, lookup: Lookup, wanted: Wanted, leading: Flight) -> Waits[Answered | Exception]:
        following: list[asyncio.Task[None]] = []
        in_line: list[Waits[Answered | Exception]] = []

        def start(done: Callable[[Allowed | Answered | Exception], None]) -> None:
            following.append(self._start(self._follow_and_finish(lookup, wanted, leading, done, in_line)))

        def cancel() -> None:
            for task in following:
                task.cancel()
            for waits in in_line:
                waits.cancel()

        return Waits(
            Queued(_LONGEST_WAIT, account(lookup.requester.organisation, lookup.requester.key)), start, cancel
        )

    async def _follow_and_finish(
        self,
        lookup: Lookup,
        wanted: Wanted,
        leading: Flight,
        done: Callable[[Allowed | Answered | Exception], None],
        in_line: list[Waits[Answered | Exception]],
    ) -> None:
        try:
            outcome = await self._follow(lookup, wanted, leading)
        except Exception as error:  # noqa: BLE001 - it becomes this request's answer
            done(error)
        else:
            if isinstance(outcome, Waits):
                in_line.append(outcome)
                outcome.start(done)
            else:
                done(outcome)

    async def _follow(self, lookup: Lookup, wanted: Wanted, leading: Flight | None) -> Decision:
        """Waits for the identical request, and for the next one if the client of the first has left."""
        until = time.monotonic() + _LONGEST_WAIT
        while leading is not None:
            self._counts["waited"] += 1
            landed = await leading.wait(until - time.monotonic())
            lookup.again()
            if landed is FlightResult.FAILED:
                break
            if leading.cached is not None:
                served = self._serve(lookup.rule, wanted, leading.cached, lookup.from_cached)
                if served is not None:
                    return served
            leading = self._leading(lookup, wanted)
        return self._in_turn(lookup, lambda forward: self._fetch(lookup, wanted, "miss", forward))

    def _serve(
        self, rule: CacheRule, wanted: Wanted, cached: CachedAnswer, from_cached: FromCached
    ) -> Answered | None:
        age = self._clock() - cached.at
        # The route's lifetime may have become shorter since, and the clock may have gone back.
        made = answers.rendered(cached, wanted) if -rule.ttl < age < rule.ttl else None
        if made is None:
            return None
        answered = from_cached(cached, *made)
        answered.headers[HEADER] = "hit"
        answered.headers["age"] = str(max(0, int(age)))
        self._counts["hit"] += 1
        return answered

    def _fetch(self, lookup: Lookup, wanted: Wanted, how: str, forward: Callable[[], Allowed]) -> Allowed:
        allowed = self._with_outcome(forward(), how)
        flight = Flight(
            lookup.id,
            wanted,
            lookup.rule,
            lookup.requester.route,
            lookup.endpoint.path,
            lookup.reservation(),
            time.monotonic(),
        )
        if self._flights.begin(flight):
            allowed.copy = lookup.id
        return allowed

    def _with_outcome(self, allowed: Allowed, how: str) -> Allowed:
        allowed.headers[HEADER] = how
        self._counts[how] += 1
        return allowed

    def _take(self, flight: Flight, passed: Passed, cached: CachedAnswer | None) -> None:
        """Caches the answer if that is allowed. All waiting requests get it at once; others when the store has
        it.
        """
        self._counts["kept" if cached is not None else "not_kept"] += 1
        if cached is None:
            self._flights.landed(flight, FlightResult.FAILED)
            return
        cached.at = self._clock()
        cached.until = cached.at + flight.rule.ttl
        cached.saved = self._cost_of(flight.reservation, passed) if flight.reservation is not None else 0
        flight.cached = cached
        putting = self._stores.of(flight.rule).put(flight.wanted.key, flight.route, cached, flight.rule.max_bytes)
        if isinstance(putting, bool):
            self._flights.landed(flight, FlightResult.CACHED)
        else:
            flight.land(FlightResult.CACHED)
            self._start(self._land(flight, putting))

    async def _land(self, flight: Flight, putting: Awaitable[None]) -> None:
        try:
            await putting
        finally:
            self._flights.landed(flight, FlightResult.CACHED)

    async def _examine_and_take(self, flight: Flight, passed: Passed) -> None:
        try:
            cached = await asyncio.to_thread(answers.cacheable, passed, flight.wanted, flight.path)
            self._take(flight, passed, cached)
        except BaseException:
            self._flights.landed(flight, FlightResult.FAILED)
            raise

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _give_up(self, token: str) -> None:
        flight = self._flights.end(token)
        if flight is not None:
            self._flights.landed(flight, FlightResult.CUT)


def _wanted(request: Request, requester: Requester, rule: CacheRule, content: Content) -> Wanted | None:
    return wanted_by(requester, rule, content, request.target, request.headers)


def _find(store: AnswerStore, wanted: Wanted) -> CachedAnswer | Awaitable[CachedAnswer | None] | None:
    """Returns the cached answer in the wanted form, or in the other form if that can be converted."""
    found = store.get(wanted.key)
    if found is None and wanted.convertible:
        return store.get(wanted.other)
    if found is None or isinstance(found, CachedAnswer):
        return found
    return _find_later(found, store, wanted)


async def _find_later(
    first: Awaitable[CachedAnswer | None], store: AnswerStore, wanted: Wanted
) -> CachedAnswer | None:
    found = await first
    if found is None and wanted.convertible:
        other = store.get(wanted.other)
        return other if other is None or isinstance(other, CachedAnswer) else await other
    return found
