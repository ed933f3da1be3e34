"""Converts a route's cache settings from the policy's message."""

from __future__ import annotations

from trunkline_proto.policy.v1 import policy_pb2 as policy

from translator.cache.key import CacheRule, CacheScope

_SCOPES = {
    policy.CACHE_SCOPE_UNSPECIFIED: CacheScope.ORGANISATION,
    policy.CACHE_SCOPE_ORGANISATION: CacheScope.ORGANISATION,
    policy.CACHE_SCOPE_KEY: CacheScope.KEY,
    policy.CACHE_SCOPE_USER: CacheScope.USER,
}


def cache_rule(message: policy.Route) -> CacheRule | None:
    """Returns the rule; None if the route caches nothing. A scope of a later version is treated as the key's."""
    if not message.cache_ttl_seconds:
        return None
    targets = ",".join(sorted(target.id for target in message.targets))
    if message.cache_origins:
        targets = f"{targets} {message.cache_origins}"
    scope = _SCOPES.get(message.cache_scope, CacheScope.KEY)
    return CacheRule(
        message.cache_ttl_seconds,
        scope,
        message.cache_most_bytes,
        targets,
        message.cache_store,
        message.cache_memory_bytes,
    )
