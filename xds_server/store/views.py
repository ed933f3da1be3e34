"""Objects as JSON for the audit trail and for differences: secrets as `***`, no ids, no versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from xds_server.model import Key, Limit, Node, NodesTarget, Organisation, Provider, Route, Target
from xds_server.store.records import JoinToken

MASK = "***"

#: Field → JSON value.
View = Mapping[str, Any]


def provider(value: Provider) -> View:
    return {
        "dialect": value.dialect,
        "base_url": value.base_url,
        "credentials": [MASK for _ in value.credentials],
        "ca_file": value.ca_file,
        "stream_usage": value.stream_usage,
    }


def organisation(value: Organisation) -> View:
    return {"limits": [_limit(limit) for limit in value.limits]}


def key(value: Key) -> View:
    """The public id tells which key of this name it was."""
    return {
        "id": value.id,
        "value": MASK,
        "models": list(value.models),
        "limits": [_limit(limit) for limit in value.limits],
        "expires_at": value.expires_at,
    }


def node(value: Node) -> View:
    """The id tells which node of this name it was; the name is there because it may change."""
    return {
        "id": value.id,
        "name": value.name,
        "owner_key_id": value.owner_key_id,
        "visibility": value.visibility.value,
        "approved": value.approved,
        "drained": value.drained,
        "boost": value.boost,
    }


def join_token(value: JoinToken) -> View:
    """`id` is the public part of its value."""
    return {
        "id": value.id,
        "value": MASK,
        "owner_key_id": value.owner_key_id,
        "name": value.name,
        "visibility": value.visibility.value,
        "require_approval": value.require_approval,
        "expires_at": value.expires_at,
    }


def route(value: Route) -> View:
    return {
        "strategy": value.strategy.value,
        "targets": [_target(target) for target in value.targets],
        "timeouts": {
            "first_byte_ms": value.timeouts.first_byte_ms,
            "idle_ms": value.timeouts.idle_ms,
            "connect_ms": value.timeouts.connect_ms,
        },
        "cache_ttl_seconds": value.cache_ttl_seconds,
        "privacy": value.privacy.value,
        "limits": [_limit(limit) for limit in value.limits],
        "reserved_output_tokens": value.reserved_output_tokens,
    }


def _limit(limit: Limit) -> View:
    window: dict[str, Any] = {"per_seconds": limit.per_seconds}
    if limit.calendar is not None:
        window = {"calendar": limit.calendar.value, "time_zone": limit.time_zone or "UTC"}
    model = {"model": limit.model} if limit.model else {}
    return {"metric": limit.metric.value, **window, **model, "amount": limit.amount}


def _target(target: Target) -> View:
    place = {"nodes": target.model}
    if not isinstance(target, NodesTarget):
        place = {"provider": target.provider, "model": target.model}
    # The latest change of the history, which need not be the last price to come into force.
    latest = max(target.prices, key=lambda price: price.version, default=None)
    price = asdict(latest) if latest is not None else None
    return {**place, "weight": target.weight, "tier": target.tier, "price": price}
