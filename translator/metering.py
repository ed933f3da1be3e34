"""Reserves what a request may use, in every limit that applies, before the request is let through."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

from translator import guards, log_context
from translator.bodies.estimate import NO_TOKENS
from translator.bodies.facts import BodyFacts, ending
from translator.checks.answers import Allowed, Answered
from translator.errors import NoPlace, Refusal
from translator.guards import MAX_PRICE
from translator.limits import HolderLimit, Limiter, Refused, Reservation, wire
from translator.limits.limit import POOL
from translator.policy.grant import Grant
from translator.policy.objects import PolicyKey, PolicyRoute

#: The client's own label for a request.
TAG = b"x-trunkline-tag"
#: Same as `Reservation.saved`.
_NOT_CACHED = -1
#: Most bytes of a label, percent-encoded.
_LABEL = 200
#: Labels that stand unchanged in a header and in Envoy's log. A lone `-` is excluded: in the log it means absent.
_PLAIN_LABEL = re.compile(rf"(?!-\Z)[!-$&-~]{{1,{_LABEL}}}")


class Journal(Protocol):
    """Stores reservations before Envoy gets its answer, so that they survive this process.

    A journal that cannot be written delays nothing: the limits hold the reservation in memory, and the request's
    line in Envoy's log repeats it.
    """

    def reserved(self, reservation: Reservation) -> None:
        """Takes a reservation, which the next flush writes."""

    def ended(self, request_id: str) -> None:
        """Takes the end of a request, which frees its concurrent places and which the next flush writes."""


class Meter:
    """Reserves and records. `clock` gives Unix seconds. Without a `journal`, reservations end with this
    process.
    """

    def __init__(
        self,
        limiter: Limiter,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limiter = limiter
        self._journal = journal
        self._clock = clock

    def reserve(  # noqa: PLR0917 - the hot path, where keywords and calls cost time
        self,
        request_id: str,
        headers: Mapping[bytes, bytes],
        facts: BodyFacts,
        key: PolicyKey,
        grant: Grant,
        answer: Allowed | Answered,
        saved: int = _NOT_CACHED,
    ) -> None:
        """Reserves what the request may use, and adds to `answer` the log context, the headers with the remaining
        limits, and whether the end of the request frees anything. `headers` are the request's own.

        A request that gets a cached answer, which `saved` that many nano-USD, counts as a request and uses nothing
        else, because no target reads the prompt. A request that already holds a reservation keeps it: Envoy asks
        again if it lost the first answer.

        Raises:
            Refusal: 429, or 400 if no target fits; then nothing is reserved.
        """
        at, estimate, units, cost = round(self._clock() * 1e6) / 1e6, facts.estimate, facts.units, -1
        user = label(facts.user) if facts.user else ""
        tag = _tag(headers[TAG]) if TAG in headers else ""
        limits, ids, shown, concurrent, each, watched = grant.applicable
        if type(answer) is not Allowed:
            estimate, units, cost = NO_TOKENS, "", 0
            limits, ids, shown, concurrent, each, watched = grant.applicable_if_cached
        elif grant.guarded or headers.get(MAX_PRICE):
            answer.excluded, cost = guards.narrowed(facts, key, grant.route, headers.get(MAX_PRICE) or None, at)
        if each:
            limits, ids, shown, concurrent, *_ = self._limiter.applied(
                limits, grant.organisation_id, user, tag, at
            )
        reservation = self._limiter.reservation(request_id)
        if reservation is None:
            route = grant.route
            output = estimate.output(route.reserved_output)
            if cost < 0:
                cost = route.ceiling.cost(estimate.prompt, output, at)
                if units:
                    cost += route.ceiling.cost_of_units(units, at)
            reservation = Reservation(
                request_id,
                at,
                grant.organisation_id,
                grant.key_id,
                route.id,
                route.model,
                estimate.prompt + output,
                cost,
                estimate.prompt,
                facts.streams,
                user,
                tag,
                ids,
                estimate.most if estimate.stated else 0,
                estimate.outside,
                units,
                saved,
            )
            refused = self._limiter.reserve(reservation, limits)
            if watched:
                self._limiter.watch(limits, refused)
            if refused is not None:
                raise self._refusal(refused, shown, key, route, at)
            if self._journal is not None:
                self._journal.reserved(reservation)
        if shown:
            answer.headers.update(wire.headers(self._limiter, shown, at))
        if concurrent and type(answer) is Allowed:
            answer.end = request_id
        answer.log_context = log_context.written(reservation, grant.parties)

    def _refusal(
        self, refused: Refused, shown: Sequence[HolderLimit], key: PolicyKey, route: PolicyRoute, at: float
    ) -> Refusal:
        """Returns 429: a limit has too little left."""
        refusal = wire.refusal(refused, wire.headers(self._limiter, shown, at), at)
        if isinstance(refusal, NoPlace):
            _add_places(refusal, key, route)
        return refusal

    def reservation(self, request_id: str) -> Reservation | None:
        """Returns the outstanding reservation of a request."""
        return self._limiter.reservation(request_id)

    def machine_busy(self, request_id: str, *, turned_away: bool) -> None:
        """Takes that a machine was too busy for a request, or serves it now."""
        if turned_away:
            self._limiter.turned_away(request_id)
        else:
            self._limiter.let_in(request_id)

    def end(self, request_id: str) -> None:
        """Frees the concurrent places of a request; does nothing if it holds none."""
        if self._limiter.end(request_id) and self._journal is not None:
            self._journal.ended(request_id)


def _tag(sent: bytes) -> str:
    """Returns the client's own label for the request."""
    return label(sent.decode("utf-8", "replace"))


def _add_places(full: NoPlace, key: PolicyKey, route: PolicyRoute) -> None:
    """Adds to `full`, if all machines are taken, the places for which the request may wait and who waits with
    it.
    """
    if full.holder == POOL:
        full.limit_ids = [limit.id for limit in route.places_of(key)]
        own = len(route.places) > 1
        full.holder = "key" if own and key.id in route.places else "organisation" if own else "route"


def label(text: str) -> str:
    """Returns `text` as a header value: percent-encoded where needed, without control characters, at most 200
    bytes.

    A longer text is cut and ends with a digest of the whole, see `facts.ending`.
    """
    if _PLAIN_LABEL.fullmatch(text):
        return text
    if text == "-":
        return "%2D"
    shown, length = [], 0
    for character in text[: _LABEL + 1]:
        # Unprintable characters could control a reader's terminal or forge lines in the records.
        shown.append(quote(character if character.isprintable() else "\ufffd", safe="/:@+,=~"))
        length += len(shown[-1])
        if length > _LABEL:
            end = ending(text)
            while length > _LABEL - len(end):
                length -= len(shown.pop())
            shown.append(end)
            break
    return "".join(shown)
