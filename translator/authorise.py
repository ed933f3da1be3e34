"""Decides about one request: whose it is, whether it may pass, by which route, and within which limits.

Envoy's module asks before every request, and may ask again about the same one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from translator import affinity, endpoints, prompt_cache, responses
from translator.bodies import multipart
from translator.bodies.conversation import digest
from translator.bodies.estimate import NO_TOKENS
from translator.bodies.facts import BodyFacts, read
from translator.cache.answers import CachedAnswer
from translator.cache.gate import CacheGate, FromCached, Lookup
from translator.cache.key import Requester
from translator.checks.answers import Admitted, Allowed, Answered
from translator.checks.frames import Copied, MachineNotice
from translator.checks.waits import Waits
from translator.endpoints import BodyKind, Endpoint
from translator.errors import NoPlace, Refusal, model_not_found
from translator.keys import Keys, KeySource
from translator.message import Request
from translator.metering import TAG, Meter, label
from translator.policy.grant import Grant
from translator.policy.objects import PolicyKey, PolicyRoute
from translator.queueing import Flow
from translator.reading import budget
from translator.reading.budget import RefusedWork
from translator.reading.weight import is_light
from translator.reading.wire import Result
from translator.request_head import ENCODING, check_encoding, endpoint_of, id_of, stored_response
from translator.responses import Responses
from translator.waiting import About, Outcome, WaitingRoom

#: Value of `x-trunkline-route` for requests that the translator answers itself.
TRANSLATOR_ROUTE = "translator"
_VERSION = len("/v1")
#: Prefix of the paths of responses that were created before.
_STORED = b"/v1/responses/"
#: Python 3.11 takes as long to look up a member of an enum as to find the endpoint.
_NO_BODY = BodyKind.NONE
#: What Envoy does with a request. A request that waits is decided later.
Ready = Allowed | Answered | Waits[Answered | Exception]
#: A decision that is ready, or that is still being made.
Decision = Ready | Coroutine[object, object, Ready]


class Policy(KeySource, Protocol):
    """The parts of the policy that a decision needs; PolicyStore and PolicyIndex describe them."""

    def route(self, key: PolicyKey, model: str) -> PolicyRoute | None: ...
    def grant(self, key: PolicyKey, model: str) -> Grant | None: ...
    def default_model(self, key: PolicyKey, path: str) -> str: ...
    def flow(self, key: PolicyKey) -> Flow: ...


class BodyReader(Protocol):
    """Reads bodies that take long, so that other requests need not wait."""

    async def read(self, key: str, endpoint: Endpoint, content_type: bytes, body: Sequence[bytes]) -> Result:
        """Reads a body, given in pieces, on the account of `key`. Raises Refusal if that is not possible now."""


class Authoriser:
    """Decides about requests.

    `clock` gives Unix seconds. Without a `body_reader`, every body is read at once. Without a `cache`, no answer
    is cached. Without a `waiting` room, no request waits for a place.
    """

    def __init__(  # noqa: PLR0917 - what a decision depends on
        self,
        policy: Policy,
        meter: Meter,
        clock: Callable[[], float] = time.time,
        body_reader: BodyReader | None = None,
        cache: CacheGate | None = None,
        stored: Responses | None = None,
        *,
        waiting: WaitingRoom | None = None,
    ) -> None:
        self._policy = policy
        self._keys = Keys(policy, clock)
        self._meter = meter
        self._clock = clock
        self._body_reader = body_reader
        self._cache = cache
        self._responses = stored
        self._refused_work = RefusedWork()
        self._waiting = waiting

    def decide(self, check: Request) -> Decision:
        """Returns what Envoy needs to route the request, or the client's answer.

        The decision is made later if reading the body takes long, or if the request waits for an identical one.

        Raises:
            Refusal: the client's answer.
        """
        endpoint = endpoints.BY_PATH.get(check.target)
        if endpoint is None or check.method != endpoint.method:
            if check.target.startswith(_STORED) and (stored := stored_response(check)):
                return self._of_stored(check, stored)
            endpoint = endpoint_of(check)
        key = self._keys.of(check.headers)
        if endpoint.body is _NO_BODY:
            return Allowed(TRANSLATOR_ROUTE, key.id, headers={"x-request-id": id_of(check.headers)})
        if ENCODING in check.headers:
            check_encoding(check)
        self._refused_work.check(key.id, self._clock)
        if self._body_reader is None or (not check.pieces and is_light(endpoint.body, check.body)):
            return self._decide_now(check, endpoint, key)
        return self._decide_later(check, endpoint, key, self._body_reader)

    def admit(self, head: Request) -> Admitted:
        """Decides whether Envoy may read the body of this request.

        Raises:
            Refusal: the client's answer, the same that `decide` gives for any body.
        """
        if head.target.startswith(_STORED) and stored_response(head):
            return Admitted(self._keys.of(head.headers).account)
        endpoint = endpoint_of(head)
        key = self._keys.of(head.headers)
        if ENCODING in head.headers:
            check_encoding(head)
        if endpoint.body is BodyKind.FORM:
            multipart.boundary(head.headers.get(b"content-type", b""))
        self._refused_work.check(key.id, self._clock)
        return Admitted(key.account)

    def end(self, request_id: str) -> None:
        """Ends a request and frees what it holds while it runs. The id may be unknown."""
        self._meter.end(request_id)
        if self._cache is not None:
            self._cache.ended(request_id)

    def machine_busy(self, notice: MachineNotice) -> None:
        """Keeps a request's place in front of those that wait while a machine is too busy for it."""
        self._meter.machine_busy(notice.request_id, turned_away=notice.turned_away)

    def response_created(self, text: str) -> None:
        """Remembers where a response was created."""
        if self._responses is not None:
            self._responses.response_created(text)

    def copied(self, copy: Copied) -> None:
        """Takes the copy of an answer that may be cached."""
        if self._cache is not None:
            self._cache.copied(copy)

    def charge(self, key_id: str, seconds: float) -> None:
        """Charges the key for CPU time that was spent on a body that was refused."""
        self._refused_work.charge(key_id, seconds, self._clock())

    def _decide_now(self, request: Request, endpoint: Endpoint, key: PolicyKey) -> Decision:
        body = b"".join(request.pieces) if request.pieces else request.body
        started = time.perf_counter()
        try:
            if self._cache is not None:
                answered = self._answer_again(self._cache, request, endpoint, key, body)
                if answered is not None:
                    return answered
            facts, values = read(body, request.headers.get(b"content-type", b""), endpoint)
            return self._allow(request, key, facts, endpoint, body, values)
        except Refusal:
            self.charge(key.id, budget.at_once(time.perf_counter() - started, len(body)))
            raise

    def _answer_again(
        self, cache: CacheGate, request: Request, endpoint: Endpoint, key: PolicyKey, body: bytes
    ) -> Answered | None:
        """Answers a request that repeats one which got a cached answer; None if it has to be read."""
        repeated = cache.recognise(key.organisation_id, endpoint, body)
        grant = self._policy.grant(key, repeated.facts.model) if repeated is not None else None
        if repeated is None or grant is None or grant.route.cache is None:
            return None
        facts = _with_user(repeated.facts, key)
        from_cached = self._from_cached(request, id_of(request.headers), key, facts, grant)
        return cache.repeat(repeated, request, _requester(grant, key), grant.route.cache, from_cached)

    async def _decide_later(
        self, request: Request, endpoint: Endpoint, key: PolicyKey, body_reader: BodyReader
    ) -> Ready:
        body = request.pieces or (request.body,)
        request.pieces, request.body = (), b""
        result = await body_reader.read(key.id, endpoint, request.headers.get(b"content-type", b""), body)
        try:
            if result.facts is None:
                raise result.refusal()
            # The key may have been revoked meanwhile.
            decision = self._allow(request, self._keys.of(request.headers), result.facts, endpoint, b"", None)
            return await decision if isinstance(decision, Coroutine) else decision
        except Refusal:
            self.charge(key.id, result.seconds)
            raise

    def _allow(  # noqa: PLR0917 - the hot path, where keywords cost time
        self,
        request: Request,
        key: PolicyKey,
        facts: BodyFacts,
        endpoint: Endpoint,
        body: bytes,
        values: Mapping[str, Any] | None,
    ) -> Decision:
        """Decides about a request whose body has been read.

        If the body was read elsewhere because it takes long, `body` is empty and `values`, the members of a JSON
        body, is None.
        """
        grant = self._policy.grant(key, facts.model) or self._grant(key, endpoint, facts)
        route = grant.route
        as_read, facts = facts, _with_user(facts, key)
        if route.plain:
            return self._forward(request, key, facts, grant)
        if (route.affinity or route.prompt_cache) and values is not None and not facts.sealed:
            facts = msgspec.structs.replace(facts, head=digest(values))
        if route.prompt_cache is not None:
            facts = prompt_cache.rewritten(request, key, route, route.prompt_cache, facts, endpoint, body, values)
        if route.cache is not None and self._cache is not None:
            return self._through_cache(self._cache, request, key, facts, as_read, grant, endpoint, body, values)
        try:
            return self._forward_in_turn(request, key, facts, grant)
        except NoPlace:
            if route.queue is None or self._waiting is None:
                raise
            return self._join(request, key, facts, route, endpoint, lambda forward: forward())

    def _forward_in_turn(self, request: Request, key: PolicyKey, facts: BodyFacts, grant: Grant) -> Allowed:
        """Sends the request to a target unless other requests wait for a place.

        A request that holds a reservation goes first: it was let through before, and Envoy lost the answer.
        """
        if (
            grant.route.queue is not None
            and self._waiting is not None
            and self._waiting.is_waiting(grant.route)
            and self._meter.reservation(id_of(request.headers)) is None
        ):
            raise NoPlace(429, "rate_limit_exceeded", "Others wait for a place.", kind="requests")
        return self._forward(request, key, facts, grant)

    def _join(  # noqa: PLR0917 - the request's properties
        self,
        request: Request,
        key: PolicyKey,
        facts: BodyFacts,
        route: PolicyRoute,
        endpoint: Endpoint,
        attempt: Callable[[Callable[[], Allowed]], Outcome],
    ) -> Waits[Answered | Exception]:
        """Lets the request wait for a place.

        `attempt` is called when its turn comes, with a function that sends the request to a target.
        """
        assert route.queue is not None  # noqa: S101 - the caller has checked
        assert self._waiting is not None  # noqa: S101
        # Envoy's module holds the body; only what was read in it is kept while the request waits.
        request.pieces, request.body = (), b""

        def current() -> tuple[PolicyKey, Grant]:
            # The key may have been revoked meanwhile, and the route may have changed.
            owner = self._keys.of(request.headers)
            return owner, self._grant(owner, endpoint, facts)

        def in_turn() -> Outcome:
            owner, grant = current()
            return attempt(lambda: self._forward(request, owner, facts, grant))

        tag = request.headers.get(TAG, b"").decode("utf-8", "replace")
        about = About(id_of(request.headers), facts.streams, label(facts.user), label(tag))
        return self._waiting.join(about, self._policy.flow(key), route, route.queue, in_turn, current)

    def _grant(self, key: PolicyKey, endpoint: Endpoint, facts: BodyFacts) -> Grant:
        model = facts.model or self._default_model(key, endpoint)
        grant = self._policy.grant(key, model)
        if grant is None:
            raise self._keys.if_certain(model_not_found(model))
        return grant

    def _through_cache(  # noqa: PLR0917 - the request's properties
        self,
        cache: CacheGate,
        request: Request,
        key: PolicyKey,
        facts: BodyFacts,
        as_read: BodyFacts,
        grant: Grant,
        endpoint: Endpoint,
        body: bytes,
        values: Mapping[str, Any] | None,
    ) -> Decision:
        route = grant.route
        assert route.cache is not None  # noqa: S101 - the caller has checked
        request_id = id_of(request.headers)
        request.headers[b"x-request-id"] = request_id.encode()

        def again() -> None:
            if self._policy.route(self._keys.of(request.headers), route.model) is None:
                raise self._keys.if_certain(model_not_found(route.model))

        def join(attempt: Callable[[Callable[[], Allowed]], Outcome]) -> Waits[Answered | Exception]:
            return self._join(request, key, facts, route, endpoint, attempt)

        return cache.decide(
            Lookup(
                request,
                request_id,
                _requester(grant, key),
                route.cache,
                endpoint,
                body,
                values,
                as_read,
                fresh=lambda: self._forward_in_turn(request, key, facts, grant),
                from_cached=self._from_cached(request, request_id, key, facts, grant),
                reservation=lambda: self._meter.reservation(request_id),
                again=again,
                join=join if route.queue is not None and self._waiting is not None else None,
            )
        )

    def _from_cached(
        self, request: Request, request_id: str, key: PolicyKey, facts: BodyFacts, grant: Grant
    ) -> FromCached:
        """Returns a function that makes the request's answer from a cached one, and reserves. It may raise
        Refusal.
        """

        def from_cached(cached: CachedAnswer, content_type: str, content: bytes) -> Answered:
            answered = Answered("", {"content-type": content_type, "x-request-id": request_id}, content)
            self._meter.reserve(request_id, request.headers, facts, key, grant, answered, cached.saved)
            return answered

        return from_cached

    def _of_stored(self, request: Request, response_id: str) -> Allowed:
        """Sends a request about an existing response to the target that created it.

        Fetching, deleting and cancelling count as requests. The usage in the answer is not billed a second time.
        """
        key = self._keys.of(request.headers)
        if self._responses is None:
            raise responses.not_found(response_id)
        origin = self._responses.find(key.organisation_id, response_id)
        grant = self._policy.grant(key, origin.model)
        if grant is None or grant.route.id != origin.route:
            raise self._keys.if_certain(responses.not_found(response_id))
        facts = BodyFacts(grant.route.model, False, "0:0:j:", "-", key.user, NO_TOKENS)
        return self._forward(request, key, facts, grant, f"<{origin.machine} {origin.cluster}")

    def _forward(
        self, request: Request, key: PolicyKey, facts: BodyFacts, grant: Grant, bound: str = ""
    ) -> Allowed:
        """Returns where the request goes and what is rewritten in it. `bound` is the only target that may serve
        it, if any.
        """
        route, request_id = grant.route, id_of(request.headers)
        allowed = Allowed(
            grant.stream_variant if facts.streams else grant.variant,
            path=request.target[_VERSION:].decode("latin-1"),
            usage=facts.usage,
            model=facts.place,
            headers={"x-request-id": request_id},
            account=grant.account,
        )
        if request.replaced is not None:
            allowed.replaced = request.replaced
        if bound or facts.previous or route.affinity or facts.sealed:
            allowed.affinity = bound or self._affinity(key, facts, route)
        # Reserve last: a request that is refused for another reason must take nothing from a limit.
        self._meter.reserve(request_id, request.headers, facts, key, grant, allowed)
        return allowed

    def _affinity(self, key: PolicyKey, facts: BodyFacts, route: PolicyRoute) -> str:
        """Returns the affinity of a request, as in `Allowed`."""
        if facts.previous and self._responses is not None:
            origin = self._responses.find(key.organisation_id, facts.previous)
            return f"={origin.machine} {origin.cluster}"
        return affinity.word(key, route, facts) if route.affinity or facts.sealed else ""

    def _default_model(self, key: PolicyKey, endpoint: Endpoint) -> str:
        model = self._policy.default_model(key, endpoint.path)
        if not model:
            name = endpoint.path.removeprefix("/v1/")
            message = (
                f"The request names no model, and this gateway has no default model for {endpoint.path}: name one "
                f"in 'model'. Its operator sets a default by `defaults: {{{name}: MODEL}}` in trunkline.yaml."
            )
            raise Refusal(400, "missing_model", message, param="model")
        return model


def _with_user(facts: BodyFacts, key: PolicyKey) -> BodyFacts:
    """Returns the facts with the key's own user, if it has one, instead of the one that the body names."""
    return msgspec.structs.replace(facts, user=key.user) if key.user else facts


def _requester(grant: Grant, key: PolicyKey) -> Requester:
    return replace(grant.requester, user=key.user) if key.user else grant.requester
