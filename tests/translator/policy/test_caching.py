"""The rule of a route that caches, from the policy's message."""

from __future__ import annotations

from typing import Any

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator.cache.key import CacheScope
from translator.policy.caching import cache_rule


def route(*targets: str, **more: Any) -> policy.Route:
    return policy.Route(cache_ttl_seconds=60, targets=[policy.Target(id=each) for each in targets], **more)


def test_only_a_route_with_a_lifetime_caches() -> None:
    assert cache_rule(policy.Route(targets=[policy.Target(id="a/m")])) is None


def test_other_targets_or_addresses_give_other_answers() -> None:
    rules = [
        cache_rule(each)
        for each in (
            route("a/m"),
            route("b/m"),
            route("a/m", "b/m"),
            route("a/m", cache_origins="one"),
            route("a/m", cache_origins="two"),
        )
    ]
    assert len({rule.targets for rule in rules if rule is not None}) == len(rules)


def test_the_order_of_targets_does_not_matter() -> None:
    assert cache_rule(route("b/m", "a/m")) == cache_rule(route("a/m", "b/m"))


def test_an_unknown_scope_is_treated_as_that_of_a_key() -> None:
    rule = cache_rule(route("a/m", cache_scope=99))
    assert rule is not None
    assert rule.scope is CacheScope.KEY
