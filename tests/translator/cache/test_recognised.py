"""Repeated requests are answered without being read again, and exactly as if they were read."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from tests.translator.cache.test_gate import Edge, how
from tests.translator.policies import OTHER_VALUE, VALUE
from translator import authorise, endpoints
from translator.bodies.facts import read
from translator.cache import recognised
from translator.cache.key import content_of
from translator.cache.recognised import RecognisedBodies, Repeated
from translator.checks.answers import Allowed, Answered
from translator.endpoints import Endpoint
from translator.errors import Refusal
from translator.policy.objects import PolicyKey

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "' + b"x" * 1_000 + b'"}]}'


def endpoint(name: str) -> Endpoint:
    found = endpoints.find(name.encode())
    assert found is not None
    return found


CHAT = endpoint("/v1/chat/completions")


def repeated(body: bytes, of: Endpoint = CHAT) -> Repeated:
    facts, values = read(body, b"application/json", of)
    content = content_of(of, body, values)
    assert content is not None
    return Repeated(body, of, facts, content)


def test_exactly_the_same_bytes_are_recognised() -> None:
    bodies = RecognisedBodies()
    assert bodies.find("acme", CHAT, BODY) is None
    known = repeated(BODY)
    bodies.remember("acme", known)
    assert bodies.find("acme", CHAT, bytes(bytearray(BODY))) is known


def test_no_changed_byte_is_overlooked() -> None:
    bodies = RecognisedBodies()
    bodies.remember("acme", repeated(BODY))
    for at in range(len(BODY)):
        changed = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
        assert bodies.find("acme", CHAT, changed) is None


@pytest.mark.parametrize("other", [BODY + b" ", b" " + BODY, BODY[:-1], b"", b"{"])
def test_another_length_is_another_body(other: bytes) -> None:
    bodies = RecognisedBodies()
    bodies.remember("acme", repeated(BODY))
    assert bodies.find("acme", CHAT, other) is None


def test_neither_organisations_nor_endpoints_share() -> None:
    bodies = RecognisedBodies()
    bodies.remember("acme", repeated(BODY))
    assert bodies.find("globex", CHAT, BODY) is None
    assert bodies.find("acme", endpoint("/v1/completions"), BODY) is None


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognised, "CAPACITY", 3)
    bodies = RecognisedBodies()
    sent = [b'{"model": "m%d"}' % number for number in range(4)]
    for body in sent[:3]:
        bodies.remember("acme", repeated(body))
    assert bodies.find("acme", CHAT, sent[0]) is not None
    bodies.remember("acme", repeated(sent[3]))
    assert [bodies.find("acme", CHAT, body) is not None for body in sent] == [True, False, True, True]


def test_a_long_body_is_not_remembered() -> None:
    bodies = RecognisedBodies()
    long = BODY.replace(b"x" * 1_000, b"x" * recognised.LONGEST)
    bodies.remember("acme", repeated(long))
    assert bodies.find("acme", CHAT, long) is None


async def test_a_repeated_request_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge()
    edge.pass_on(await edge.ask())
    first = await edge.ask()
    monkeypatch.setattr(authorise, "read", None)
    again = await edge.ask()
    assert isinstance(again, Answered)
    assert isinstance(first, Answered)
    assert (again.body, again.headers["x-trunkline-cache"]) == (first.body, "hit")


async def test_an_expired_answer_is_fetched_again() -> None:
    edge = Edge()
    edge.pass_on(await edge.ask())
    await edge.ask()
    edge.now += 61
    assert how(await edge.ask()) == "miss"


class Pair:
    """Two translators, of which one reads every body, that get the same requests."""

    def __init__(self, draw: random.Random, scope: policy.CacheScope.ValueType) -> None:
        self.draw, self.scope = draw, scope
        limit = policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=20)
        self.edges = [Edge(limit), Edge(limit)]
        self.edges[1].gate.recognise = lambda *_: None
        self.number = 0
        other = policies.key("key_other", value=OTHER_VALUE)
        for edge in self.edges:
            edge.store.apply(policies.response(policies.KEY, other))
            keys = edge.authoriser._keys
            keys.of = partial(self._key, keys.of)  # type: ignore[method-assign]
        self.change()

    def _key(
        self, key_of: Callable[[Mapping[bytes, bytes]], PolicyKey], headers: Mapping[bytes, bytes]
    ) -> PolicyKey:
        """Returns the key; `key_other` names a user, as a token does."""
        key = key_of(headers)
        return replace(key, user="u1") if key.id == "key_other" and self.number % 2 else key

    def change(self) -> None:
        """Changes the route, the keys' users or the time."""
        route = policies.route()
        route.cache_ttl_seconds = self.draw.choice([0, 20, 60, 60])
        route.cache_scope = self.scope
        route.limits.extend([policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=20)])
        step = self.draw.choice([0, 1, 30, 100])
        for edge in self.edges:
            edge.store.apply(policies.response(policies.ROUTE, route))
            edge.now += step

    def ask(self) -> tuple[Any, ...]:
        """Sends a request to both. Returns its outcome, which must be the same."""
        self.number += 1
        more: dict[str, Any] = {}
        if self.draw.random() < 0.6:
            more["user"] = self.draw.choice(["u1", "u2"])
        if self.draw.random() < 0.3:
            more["stream"] = self.draw.choice([True, False])
        if self.draw.random() < 0.1:
            more["store"] = True
        content, control = self.draw.choice("ab"), self.draw.choice(["", "", "", "no-cache", "no-store"])
        passes = self.draw.random() < 0.7
        more["value"] = self.draw.choice([VALUE, VALUE, OTHER_VALUE])
        answers = [
            self._one(edge, passes, content, control=control, request_id=f"r-{self.number}", **more)
            for edge in self.edges
        ]
        assert answers[0] == answers[1]
        return answers[0]

    @staticmethod
    def _one(edge: Edge, passes: bool, content: str, **more: Any) -> tuple[Any, ...]:
        try:
            decision = edge.decide(content, **more)
        except Refusal as refusal:
            return refusal.status, refusal.code, dict(refusal.headers)
        if isinstance(decision, Answered):
            return decision.body, decision.headers, decision.log_context
        assert isinstance(decision, Allowed)
        if decision.copy and passes:
            edge.pass_on(decision)
        elif decision.copy:
            edge.cut(decision, left=True)
        return decision.route, decision.headers, decision.log_context


@pytest.mark.parametrize(
    "scope", [policy.CACHE_SCOPE_ORGANISATION, policy.CACHE_SCOPE_KEY, policy.CACHE_SCOPE_USER]
)
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_it_is_answered_as_if_it_were_read(seed: int, scope: policy.CacheScope.ValueType) -> None:
    pair, hits = Pair(random.Random(seed), scope), 0
    for _ in range(300):
        if pair.draw.random() < 0.05:
            pair.change()
        outcome = pair.ask()
        hits += isinstance(outcome[0], bytes)
    assert hits
