"""Decisions made before a request arrives, and forgotten when the policy changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trunkline_proto.policy.v1 import policy_pb2 as policy

from tests.translator import policies
from translator.policy.grant import Grant
from translator.policy.store import PolicyStore

CONCURRENCY = policy.Limit(metric=policy.METRIC_CONCURRENCY, amount=1)
REQUESTS = policy.Limit(metric=policy.METRIC_REQUESTS, per_seconds=60, amount=1)


def filled() -> PolicyStore:
    return policies.store(policies.organisation(), policies.key(), policies.route())


def grant(store: PolicyStore, model: str = "gpt-4.1") -> Grant | None:
    key = store.key_by_id("key_ci")
    assert key is not None
    return store.grant(key, model)


def test_a_grant_is_made_once() -> None:
    store = filled()
    assert grant(store) is grant(store) is not None
    assert grant(store, "other") is None


@pytest.mark.parametrize("of", ["organisation", "key", "route"])
def test_a_change_of_the_policy_makes_another_one(of: str) -> None:
    store = filled()
    before = grant(store)
    assert before is not None
    assert before.applicable.limits == ()
    messages: dict[str, tuple[policy.Organisation | policy.Key | policy.Route, str]] = {
        "organisation": (policies.organisation(), policies.ORGANISATION),
        "key": (policies.key(), policies.KEY),
        "route": (policies.route(), policies.ROUTE),
    }
    message, url = messages[of]
    message.limits.append(REQUESTS)
    store.apply(policies.response(url, message))
    after = grant(store)
    assert after is not None
    assert [limit.holder for limit in after.applicable.limits] == [of]


def test_a_route_that_is_gone_is_granted_to_nobody() -> None:
    store = filled()
    assert grant(store) is not None
    store.apply(policies.response(policies.ROUTE, removed=["rt_gpt"]))
    assert grant(store) is None


def test_what_acts_as_a_key_has_its_grant() -> None:
    store = filled()
    key = store.key_by_id("key_ci")
    assert key is not None
    assert store.grant(replace(key, expires_at=1, user="idp:ann"), "gpt-4.1") is store.grant(key, "gpt-4.1")


def test_a_cached_answer_takes_no_concurrent_place() -> None:
    holder = policies.key()
    holder.limits.extend([CONCURRENCY, REQUESTS])
    store = policies.store(policies.organisation(), holder, policies.route())
    found = grant(store)
    assert found is not None
    assert found.applicable.concurrent
    assert [limit.metric.text for limit in found.applicable_if_cached.limits] == ["requests"]
    assert not found.applicable_if_cached.concurrent


@pytest.mark.parametrize(("context", "max_price", "guarded"), [(0, 0, False), (1_000, 0, True), (0, 5, True)])
def test_only_a_context_or_a_highest_price_is_a_guard(context: int, max_price: int, guarded: bool) -> None:
    holder, route = policies.key(), policies.route()
    holder.max_price = max_price
    route.targets.append(policy.Target(id="a/m", context=context))
    found = grant(policies.store(policies.organisation(), holder, route))
    assert found is not None
    assert found.guarded is guarded
