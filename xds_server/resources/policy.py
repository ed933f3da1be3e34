"""Builds policy resources (`trunkline.policy.v1`) for translators from the desired state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import quote, urlsplit, urlunsplit

from google.protobuf.message import Message
from trunkline_proto.policy.v1 import policy_pb2

from xds_server.accounts.settings import JwtIssuer
from xds_server.messages import Encoder, number
from xds_server.model import (
    MEMORY,
    Affinity,
    DefaultModel,
    DesiredState,
    Gateway,
    Key,
    Limit,
    NodesTarget,
    Organisation,
    PromptCacheKey,
    Provider,
    ProviderTarget,
    Route,
    SharedCache,
)
from xds_server.prices import TargetPrice, price_in_force

#: A request is priced by when it began, and its log line may be read this many seconds later.
_LATE = 86_400

_AFFINITY = policy_pb2.Affinity.DESCRIPTOR
_PROMPT_CACHE_KEY = policy_pb2.PromptCacheKey.DESCRIPTOR
#: The manager of an object concerns only the control plane: another manager makes no new resource.
_PARTS = {Limit: Encoder(Limit, policy_pb2.Limit, given=["managed_by"])}
_ORGANISATION = Encoder(
    Organisation, policy_pb2.Organisation, given=["defaults"], omitted=["version", "managed_by"], parts=_PARTS
)
_DEFAULT_MODEL = Encoder(DefaultModel, policy_pb2.DefaultModel)
_KEY = Encoder(Key, policy_pb2.Key, omitted=["retired", "created_at", "version", "managed_by"], parts=_PARTS)
_PRICE = Encoder(TargetPrice, policy_pb2.Price)
_JWT_ISSUER = Encoder(
    JwtIssuer, policy_pb2.JwtIssuer, given=["id", "grants"], omitted=["name", "jwks_url", "grants"]
)
#: The fields omitted here are used by Envoy, or by nothing yet.
_ROUTE = Encoder(
    Route,
    policy_pb2.Route,
    given=[
        "targets",
        "audiences",
        "affinity",
        "cache_store",
        "cache_memory_bytes",
        "cache_origins",
        "prompt_cache_key",
        "slots",
    ],
    omitted=["balance", "strategy", "timeouts", "privacy", "version", "managed_by"],
    parts=_PARTS,
)


@dataclass(frozen=True, slots=True)
class RouteCache:
    """Where the answers of a route are cached, and a digest of the addresses behind its targets."""

    shared: SharedCache
    origins: str


def organisation(value: Organisation, defaults: tuple[DefaultModel, ...] = ()) -> bytes:
    """Encodes an organisation, with the gateway's default models."""
    return _encode(_ORGANISATION(value, defaults=map(_DEFAULT_MODEL, defaults)))


def key(value: Key) -> bytes:
    """Encodes an API key, of which only the hash is known."""
    return _encode(_KEY(value))


def route(
    value: Route,
    at: float,
    audiences: tuple[str, ...] = (),
    cache: RouteCache | None = None,
    slots: Sequence[policy_pb2.PoolSlots] = (),
) -> bytes:
    """Encodes a route with the prices of requests that began in the day before `at` (Unix seconds), or begin
    later.

    `audiences` are those with a variant of their own. `cache` is for a route that caches. `slots` are
    its machines', for a route whose requests wait for them.
    """
    targets = [
        policy_pb2.Target(id=target.id, prices=map(_PRICE, _current(target.prices, at)), context=target.context)
        for target in value.targets
    ]
    outside = cache is not None and cache.shared.store != MEMORY
    return _encode(
        _ROUTE(
            value,
            targets=targets,
            audiences=audiences,
            affinity=_affinity(value),
            prompt_cache_key=_prompt_cache_key(value),
            cache_store=cache.shared.store if cache is not None and outside else "",
            cache_memory_bytes=cache.shared.most_bytes if cache is not None else 0,
            cache_origins=cache.origins if cache is not None else "",
            slots=slots,
        )
    )


def route_cache(route: Route, shared: SharedCache, providers: Mapping[str, Provider]) -> RouteCache | None:
    """Returns where a route's answers are cached; None for a route that does not cache."""
    if not route.cache_ttl_seconds:
        return None
    found = {
        f"{target.id} {providers[target.provider].base_url}"
        for target in route.targets
        if isinstance(target, ProviderTarget) and target.provider in providers
    }
    return RouteCache(shared, sha256("\n".join(sorted(found)).encode()).hexdigest()[:32])


def shared_cache(gateway: Gateway) -> SharedCache:
    """Returns where answers are cached, for translators: the address includes the password, and the CA to
    trust.
    """
    cache = gateway.cache
    parts = urlsplit(cache.store)
    netloc, query = parts.netloc, f"ssl_ca_certs={quote(cache.ca_file)}" if cache.ca_file else ""
    if gateway.cache_password:
        user, _, place = netloc.rpartition("@")
        netloc = f"{user}:{quote(gateway.cache_password, safe='')}@{place}"
    return replace(cache, store=urlunsplit(parts._replace(netloc=netloc, query=query)))


def jwt_issuer(value: JwtIssuer, key_ids: Sequence[str]) -> bytes:
    """Encodes an issuer with the key ids of its grants, in their order; an empty id stands for a missing key."""
    grants = [
        policy_pb2.JwtGrant(claim=grant.claim, value=grant.value, key_id=key_id)
        for grant, key_id in zip(value.grants, key_ids, strict=True)
    ]
    return _encode(_JWT_ISSUER(value, id=value.name, grants=grants))


def granted_keys(state: DesiredState) -> dict[tuple[str, str], str]:
    """Returns the ids of the keys that grants name, by the names of organisation and key."""
    named = {(each.organisation, each.key) for issuer in state.gateway.jwt for each in issuer.grants}
    if not named:
        return {}
    owners = state.owners
    found = ((owners.get(each.organisation_id, ""), each.name, each.id) for each in state.keys.values())
    return {(owner, name): id_ for owner, name, id_ in found if (owner, name) in named}


def _prompt_cache_key(value: Route) -> int:
    """Returns UNSPECIFIED for none."""
    none = value.prompt_cache_key is PromptCacheKey.NONE
    return number(_PROMPT_CACHE_KEY, None if none else value.prompt_cache_key)


def _affinity(value: Route) -> int:
    """Returns UNSPECIFIED for none, and for a route with affinity to machines but no pools: then translators hash
    nothing.
    """
    pools = any(isinstance(target, NodesTarget) for target in value.targets)
    none = value.affinity is Affinity.NONE or (value.affinity is Affinity.POOL and not pools)
    return number(_AFFINITY, None if none else value.affinity)


def _current(prices: tuple[TargetPrice, ...], at: float) -> tuple[TargetPrice, ...]:
    first = price_in_force(prices, at - _LATE)
    return prices[prices.index(first) :] if first is not None else prices


def _encode(message: Message) -> bytes:
    # Deterministic because the version of a resource is a hash of these bytes.
    return message.SerializeToString(deterministic=True)
