"""Reserves what a request may use, on every limit that applies to it, before it is let through."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

from translator import guards, log_context
from translator.checks.frames import Allowed, Answered
from translator.errors import NoPlace
from translator.facts import BodyFacts, ending
from translator.guards import MAX_PRICE
from translator.limits import Applicable, Limit, Limiter, Metric, Reservation, wire
from translator.limits.limit import POOL
from translator.policy.index import Key, Route

#: Bytes of a label, percent-encoded.
_LABEL = 200
#: Stands in a header and in Envoy's log as it is; there, a single `-` is what is absent.
_PLAIN_LABEL = re.compile(rf"(?!-\Z)[!-$&-~]{{1,{_LABEL}}}")


class Policy(Protocol):
    """What limits a request."""

    def limits(self, key: Key, route: Route) -> Applicable: ...


class Journal(Protocol):
    """Where reservations are written before Envoy hears of them, so that they survive this process.

    One that cannot be written holds up nobody: limits know of it, and its line in Envoy's log tells what it held.
    """

    def reserved(self, reservation: Reservation) -> None:
        """Taken, and written with the next ones."""

    def ended(self, request_id: str) -> None:
        """The request's places among the concurrent ones are free; written with the next ones."""


class Meter:
    """`clock` gives Unix seconds. Without a `journal` reservations end with this process."""

    def __init__(
        self,
        policy: Policy,
        limiter: Limiter,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._limiter = limiter
        self._journal = journal
        self._clock = clock

    def reserve(  # noqa: PLR0917 - the hot path, where keywords and calls cost time
        self,
        request_id: str,
        headers: Mapping[bytes, bytes],
        facts: BodyFacts,
        key: Key,
        route: Route,
        allowed: Allowed,
    ) -> None:
        """Adds to the answer the log context, which says what was reserved for whom, headers that tell the client
        how much is left, and whether the end of the request frees anything. `units` are the request's own headers.

        A request that holds a reservation keeps it: Envoy asks again where it did not get the first answer.

        Raises:
            Refusal: 429, or 400 where no target fits; and nothing is reserved.
        """
        at, cost = _to_microsecond(self._clock()), -1
        user, tag = label(facts.user) if facts.user else "", _tag(headers)
        limits, ids, shown, concurrent, each, watched = self._policy.limits(key, route)
        if each:
            limits, ids, shown, concurrent, *_ = self._limiter.applied(limits, key.organisation_id, user, tag, at)
        max_price = headers.get(MAX_PRICE)
        if max_price or route.bounded or key.max_price:
            allowed.unfit, cost = guards.narrowed(facts, key, route, max_price or None, at)
        reservation = self._limiter.reservation(request_id)
        if reservation is None:
            estimate = facts.estimate
            output = estimate.output(route.reserved_output)
            if cost < 0:
                cost = route.ceiling.cost(estimate.prompt, output, at)
                if facts.units:
                    cost += route.ceiling.cost_of_units(facts.units, at)
            reservation = Reservation(
                request_id,
                at,
                key.organisation_id,
                key.id,
                route.id,
                route.model,
                estimate.prompt + output,
                cost,
                estimate.prompt,
                facts.streams,
                user,
                tag,
                ids,
                estimate.most,
                estimate.outside,
                facts.units,
            )
            try:
                self._take(reservation, limits, shown, watched=watched)
            except NoPlace as full:
                _tell_places(full, key, route)
                raise
        if shown:
            allowed.headers.update(wire.headers(self._limiter, shown, at))
        if concurrent:
            allowed.end = request_id
        allowed.log_context = log_context.written(reservation, route.shown)

    def reserve_cached(  # noqa: PLR0917 - as `reserve`
        self,
        request_id: str,
        headers: Mapping[bytes, bytes],
        facts: BodyFacts,
        key: Key,
        route: Route,
        answered: Answered,
        saved: int,
    ) -> None:
        """The same for a request that gets a kept answer, which `saved` so many nano-USD: it counts as a request
        and uses nothing else, because no target reads the prompt.

        Raises:
            Refusal: 429; and nothing is reserved.
        """
        at = _to_microsecond(self._clock())
        user, tag = label(facts.user) if facts.user else "", _tag(headers)
        limits, ids, shown, concurrent, each, watched = self._policy.limits(key, route)
        if concurrent:  # of the requests that run, which this one does not
            limits = tuple(limit for limit in limits if limit.metric is not Metric.CONCURRENCY)
            limits, ids, shown, *_ = Applicable.of(limits)
        if each:
            limits, ids, shown, *_ = self._limiter.applied(limits, key.organisation_id, user, tag, at)
        reservation = self._limiter.reservation(request_id)
        if reservation is None:
            reservation = Reservation(
                request_id,
                at,
                key.organisation_id,
                key.id,
                route.id,
                route.model,
                tokens=0,
                cost=0,
                prompt=0,
                stream=facts.streams,
                user=user,
                tag=tag,
                limits=ids,
                saved=saved,
            )
            self._take(reservation, limits, shown, watched=watched)
        if shown:
            answered.headers.update(wire.headers(self._limiter, shown, at))
        answered.log_context = log_context.written(reservation, route.shown)

    def _take(
        self, reservation: Reservation, limits: Sequence[Limit], shown: Sequence[Limit], *, watched: bool
    ) -> None:
        """Raises Refusal (429) if a limit has too little left."""
        refused = self._limiter.reserve(reservation, limits)
        if watched:
            self._limiter.watch(limits, refused)
        if refused is not None:
            raise wire.refusal(refused, wire.headers(self._limiter, shown, reservation.at), reservation.at)
        if self._journal is not None:
            self._journal.reserved(reservation)

    def reservation(self, request_id: str) -> Reservation | None:
        """Returns the outstanding reservation of a request."""
        return self._limiter.reservation(request_id)

    def end(self, request_id: str) -> None:
        """Frees the places of a request among the concurrent ones. Does nothing where it holds none."""
        if self._limiter.end(request_id) and self._journal is not None:
            self._journal.ended(request_id)


def _to_microsecond(at: float) -> float:
    """As precise as the log: a reservation is the same whether it is remembered or read from its log context."""
    return round(at * 1e6) / 1e6


def _tag(headers: Mapping[bytes, bytes]) -> str:
    """The client's own label for the request; empty where it has none."""
    sent = headers.get(b"x-trunkline-tag")
    return label(sent.decode("utf-8", "replace")) if sent else ""


def _tell_places(full: NoPlace, key: Key, route: Route) -> None:
    """Of machines that are all taken: for which of their places the request may wait, and who waits with it."""
    if full.holder == POOL:
        full.limit_ids = [limit.id for limit in route.places_of(key)]
        own = len(route.places) > 1
        full.holder = "key" if own and key.id in route.places else "organisation" if own else "route"


def label(text: str) -> str:
    """As it stands in a header: percent-encoded where needed, without control characters, and at most 200 bytes. A
    longer one has a digest at its end, see `facts.ending`.
    """
    if _PLAIN_LABEL.fullmatch(text):
        return text
    if text == "-":
        return "%2D"
    shown, length = [], 0
    for character in text[: _LABEL + 1]:
        # What cannot be printed would command the terminals and forge the lines of whoever reads the records.
        shown.append(quote(character if character.isprintable() else "\ufffd", safe="/:@+,=~"))
        length += len(shown[-1])
        if length > _LABEL:
            end = ending(text)
            while length > _LABEL - len(end):
                length -= len(shown.pop())
            shown.append(end)
            break
    return "".join(shown)
