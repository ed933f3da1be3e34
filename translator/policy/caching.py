"""Converts a route's cache settings from the policy's message."""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator.cache.key import CacheRule, Scope

_SCOPES = {
    policy.CACHE_SCOPE_UNSPECIFIED: Scope.ORGANISATION,
    policy.CACHE_SCOPE_ORGANISATION: Scope.ORGANISATION,
    policy.CACHE_SCOPE_KEY: Scope.KEY,
    policy.CACHE_SCOPE_USER: Scope.USER,
}


def cache_rule(message: policy.Route) -> CacheRule | None:
    """Returns the rule; None if the route caches nothing. A scope of a later version is treated as the key's."""
    if not message.cache_ttl_seconds:
        return None
    targets = ",".join(sorted(target.id for target in message.targets))
    scope = _SCOPES.get(message.cache_scope, Scope.KEY)
    return CacheRule(
        message.cache_ttl_seconds,
        scope,
        message.cache_most_bytes,
        targets,
        message.cache_store,
        message.cache_memory_bytes,
    )
