"""Requests that wait for a place until their turn comes: timers and callbacks around the rules of `queueing`.

Waiting requests are in this process's memory only. They do not survive a restart: Envoy's module asks again, and
the request joins the end of a new line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from translator.checks.answers import Allowed, Answered, Queued
from translator.checks.waits import Waits
from translator.credentials import account
from translator.errors import NoPlace, Refusal
from translator.limits.wire import duration, retry_after
from translator.metrics import Sample
from translator.metrics.histograms import MAX_SERIES, OTHER, label
from translator.policy.objects import PolicyRoute, QueueRule
from translator.queueing import Flow, Forecast, Line

#: Most empty lines that are remembered because of how fast they move.
_REMEMBERED = 1_000
#: The answer's header with the time that the request waited.
QUEUED_MS = "x-trunkline-queued-ms"

#: The result of a waiting request's turn. A request that waits for an identical one needs no place.
Outcome = Allowed | Answered | Waits[Answered | Exception]


@dataclass(frozen=True, slots=True)
class About:
    """A waiting request as an operator sees it; `user` and `tag` are percent-encoded."""

    request_id: str
    stream: bool
    user: str
    tag: str


@dataclass(eq=False, slots=True)
class Waiter:
    """A request in a line. `attempt` lets it through or raises; after NoPlace it goes on waiting. `check` raises
    if it may not even wait any more. `follows` says that it left the line for an identical request.
    """

    about: About
    flow: Flow
    route: PolicyRoute
    queue: QueueRule
    since: float
    attempt: Callable[[], Outcome]
    check: Callable[[], object]
    done: Callable[[Allowed | Answered | Exception], None] | None = None
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    follows: Waits[Answered | Exception] | None = None
    #: The limit of its end user or tag that it waits for, set aside from the line.
    blocked_by: str = ""


class WaitingRoom:
    """The lines of all routes. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: dict[str, Line[Waiter]] = {}
        #: The routes' names, by their ids.
        self._models: dict[str, str] = {}
        #: The waiters to try again when a limit has a place: route, organisation and key; the latter two are empty
        #: if the whole line waits for the limit.
        self._blocked: dict[str, dict[tuple[str, str, str], None]] = {}
        #: Routes whose lines may move at the end of this turn of the loop.
        self._moving: dict[str, None] = {}
        self._ended = {"served": 0, "expired": 0, "full": 0, "left": 0, "refused": 0, "cancelled": 0}

    def is_waiting(self, route: PolicyRoute) -> bool:
        """Returns whether requests wait already, which no new request may overtake."""
        line = self._lines.get(route.id)
        return bool(line)

    def join(  # noqa: PLR0917 - the request's properties
        self,
        about: About,
        flow: Flow,
        route: PolicyRoute,
        queue: QueueRule,
        attempt: Callable[[], Outcome],
        check: Callable[[], object],
    ) -> Waits[Answered | Exception]:
        """Lets a request wait. `attempt` lets it through when its turn comes; the first attempt is made soon.
        `check` raises Refusal if its key or model is gone.

        Raises:
            Refusal: 429 if the line is full.
        """
        at = self._clock()
        line = self._lines.get(route.id)
        if line is None:
            if len(self._lines) >= _REMEMBERED:
                self._forget()
            line = self._lines[route.id] = Line()
        self._models[route.id] = route.model
        waiter = Waiter(about, flow, route, queue, at, attempt, check)
        gone = line.join(waiter, queue.size, at)
        if gone is not None:
            self._ended["full"] += 1
            refusal = _full(gone, line.forecast(gone.flow, at))
            if gone is waiter:
                raise refusal
            self._finish(gone, refusal)
        waiter.timer = asyncio.get_running_loop().call_later(queue.longest, self._expire, waiter)
        self._move(route.id)

        def start(done: Callable[[Allowed | Answered | Exception], None]) -> None:
            waiter.done = done

        return Waits(
            Queued(queue.longest, account(flow.organisation, flow.key)), start, lambda: self._leave(waiter)
        )

    def freed(self, limits: Sequence[str]) -> None:
        """Takes the ids of concurrency limits that have a place again."""
        if not self._blocked:
            return
        for limit in limits:
            for route, organisation, key in self._blocked.pop(limit, ()):
                line = self._lines.get(route)
                if line is None:
                    continue
                if organisation:
                    line.unpark(organisation, key)
                    line.bring_back(organisation, key, lambda waiter, by=limit: waiter.blocked_by == by)  # type: ignore[misc]
                self._move(route)

    def policy_changed(self) -> None:
        """Ends the waits of requests whose key or model is gone, and tries again those whose turn is next, because
        limits may have changed.
        """
        for line in self._lines.values():
            for waiters in tuple(line.by_key()):
                # If one request of a key is refused, the next one is hardly ever allowed.
                if self._refuse_if_gone(line, waiters[0]):
                    for waiter in waiters[1:]:
                        self._refuse_if_gone(line, waiter)
        if self._blocked:
            self.freed(tuple(self._blocked))

    def positions(self) -> Iterator[tuple[Waiter, float, Forecast]]:
        """Yields every waiting request with the seconds that it has waited and its forecast."""
        at = self._clock()
        for line in self._lines.values():
            for waiter, forecast in line.positions(at):
                yield waiter, at - waiter.since, forecast

    def cancel(self, request_id: str) -> bool:
        """Ends the wait of a request, whose client gets an error. Returns whether it was waiting."""
        for line in self._lines.values():
            for waiter, _ in line.positions(0.0):
                if waiter.about.request_id == request_id:
                    line.remove(waiter, self._clock())
                    self._ended["cancelled"] += 1
                    self._finish(waiter, cancelled())
                    return True
        return False

    def samples(self) -> Iterable[Sample]:
        """Yields the samples for `/metrics`."""
        at = self._clock()
        busy = [(name, line) for name, line in self._lines.items() if line]
        shown = {label(self._models[name]): line for name, line in busy[:MAX_SERIES]}
        requests = {model: len(line) for model, line in shown.items()}
        if len(busy) > MAX_SERIES:
            requests[OTHER] = sum(len(line) for _, line in busy[MAX_SERIES:])
        waits = {model: line.clears(at) for model, line in shown.items()}
        yield Sample(
            "trunkline_translator_waiting_requests",
            "gauge",
            "Requests that wait for a place, by model.",
            requests,
            "model",
        )
        yield Sample(
            "trunkline_translator_expected_wait_seconds",
            "gauge",
            "Expected seconds until all waiting requests have a place, by model.",
            {model: wait for model, wait in waits.items() if wait is not None},
            "model",
        )
        yield Sample(
            "trunkline_translator_waits_total",
            "counter",
            "Waits that ended: served, expired, full (another one was in the line instead), left (by the client), "
            "cancelled (by an operator), refused (for another reason).",
            self._ended,
            "end",
        )

    def _move(self, route_id: str) -> None:
        if not self._moving:
            asyncio.get_running_loop().call_soon(self._advance_all)
        self._moving[route_id] = None

    def _advance_all(self) -> None:
        moving, self._moving = self._moving, {}
        for route_id in moving:
            line = self._lines.get(route_id)
            if line is not None:
                self._advance(route_id, line)

    def _forget(self) -> None:
        self._lines = {name: line for name, line in self._lines.items() if line}
        self._models = {name: self._models[name] for name in self._lines}

    def _advance(self, route_id: str, line: Line[Waiter]) -> None:
        """Lets requests through while there are places, in the order of their turns."""
        reached: set[str] = set()
        while (waiter := line.first()) is not None:
            if waiter.blocked_by in reached:  # like another request of the same end user or tag just now
                self._set_aside(route_id, line, waiter)
                continue
            at = self._clock()
            try:
                outcome = waiter.attempt()
            except NoPlace as full:
                if full.alone:
                    (waiter.blocked_by,) = full.limit_ids
                    reached.add(waiter.blocked_by)
                    self._set_aside(route_id, line, waiter)
                    continue
                waiter.blocked_by = ""
                organisation, key = _parked(full.holder, waiter.flow)
                for limit in full.limit_ids:
                    self._blocked.setdefault(limit, {})[route_id, organisation, key] = None
                if not organisation:
                    return
                line.park(organisation, key)
            except Exception as error:  # noqa: BLE001 - it becomes this request's answer; others wait
                self._refuse(line, waiter, error)
            else:
                self._ended["served"] += 1
                if isinstance(outcome, Allowed):
                    line.serve(waiter, at)
                else:
                    line.remove(waiter, at)  # the request needs no place
                if isinstance(outcome, Waits):
                    self._follow(waiter, outcome)
                else:
                    self._tell(waiter, outcome)

    def _refuse_if_gone(self, line: Line[Waiter], waiter: Waiter) -> bool:
        """Ends the wait of a request whose key or model is gone. Returns whether it did."""
        try:
            waiter.check()
        except Refusal as refusal:
            self._refuse(line, waiter, refusal)
            return True
        return False

    def _refuse(self, line: Line[Waiter], waiter: Waiter, error: Exception) -> None:
        line.remove(waiter, self._clock())
        self._ended["refused"] += 1
        self._finish(waiter, error)

    def _set_aside(self, route_id: str, line: Line[Waiter], waiter: Waiter) -> None:
        """Lets others of the same key go before a request until the limit of its end user or tag has a place."""
        flow = waiter.flow
        self._blocked.setdefault(waiter.blocked_by, {})[route_id, flow.organisation, flow.key] = None
        line.set_aside(waiter)

    def _follow(self, waiter: Waiter, waits: Waits[Answered | Exception]) -> None:
        self._finish(waiter, None)
        waiter.follows = waits
        waits.start(lambda outcome: self._tell(waiter, outcome))

    def _tell(self, waiter: Waiter, outcome: Allowed | Answered | Exception) -> None:
        if not isinstance(outcome, Exception):
            outcome.headers[QUEUED_MS] = str(round((self._clock() - waiter.since) * 1000))
        self._finish(waiter, outcome)

    def _expire(self, waiter: Waiter) -> None:
        at, line = self._clock(), self._lines[waiter.route.id]
        forecast, number = line.position(waiter, at), len(line)
        line.remove(waiter, at)
        self._ended["expired"] += 1
        self._finish(waiter, _expired(waiter, forecast, number))

    def _leave(self, waiter: Waiter) -> None:
        """Removes a request whose client has left or whose check was withdrawn."""
        if waiter.follows is not None:
            waiter.follows.cancel()
            waiter.done = None  # a result that arrives now has no receiver
        if waiter.timer is not None:
            self._lines[waiter.route.id].remove(waiter, self._clock())
            self._ended["left"] += 1
            self._finish(waiter, None)

    @staticmethod
    def _finish(waiter: Waiter, outcome: Allowed | Answered | Exception | None) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
            waiter.timer = None
        if outcome is not None and waiter.done is not None:
            waiter.done(outcome)


def _parked(holder: str, flow: Flow) -> tuple[str, str]:
    """Returns the organisation and key to pass over while a limit of `holder` is reached; both empty if the whole
    line waits.
    """
    if holder == "key":
        return flow.organisation, flow.key
    return (flow.organisation, "") if holder == "organisation" else ("", "")


def cancelled() -> Refusal:
    """Returns the error of a cancelled request, worded as in Envoy's module."""
    return Refusal(499, "request_cancelled", "An operator of this gateway cancelled this request.")


def _full(waiter: Waiter, forecast: Forecast) -> Refusal:
    message = (
        f"{waiter.queue.size} requests are already waiting for model '{waiter.route.model}', which is the "
        f"maximum: {_expected('another one would wait', forecast)}"
    )
    return _refusal(waiter, message, forecast)


def _expired(waiter: Waiter, forecast: Forecast, number: int) -> Refusal:
    message = (
        f"No place for model '{waiter.route.model}' became free within {duration(waiter.queue.longest)}. This "
        f"request was number {forecast.position} of {number} that wait: "
        f"{_expected('it would have waited', forecast)}"
    )
    return _refusal(waiter, message, forecast)


def _expected(would: str, forecast: Forecast) -> str:
    if forecast.seconds is None:
        return "send it again later."
    return f"{would} about {duration(forecast.seconds)}."


def _refusal(waiter: Waiter, message: str, forecast: Forecast) -> Refusal:
    wait = forecast.seconds if forecast.seconds is not None else waiter.queue.longest
    return Refusal(429, "rate_limit_exceeded", message, kind="requests", headers=retry_after(wait))
